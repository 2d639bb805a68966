/** Opens the raft thread's log: the WAL that is there, a new one with the founding entries, or one in memory. */

import { join } from "node:path";
import { formatId } from "../src/cluster/identity.ts";
import type { MemberIdentity } from "../src/proto/response-header.ts";
import { BOOTSTRAP_TERM, bootstrapHardState, encodeBootstrapEntries } from "../src/raft/bootstrap.ts";
import { type MemberRoles, encodeRemovals, replayConfChanges } from "../src/raft/force-new-cluster.ts";
import type { LogStorage } from "../src/raft/log-storage.ts";
import { EntryType, type EntryBatch, type HardState } from "../src/raft/raft.ts";
import { snapshotFileName } from "../src/raft/snapshot-service.ts";
import { MemoryLog } from "../src/wal/memory-log.ts";
import { WalBatch } from "../src/wal/wal-batch.ts";
import { createWal, openWal } from "../src/wal/open-wal.ts";
import type { Wal, WalOptions } from "../src/wal/wal.ts";
import type { MemberOptions, Recovered } from "./control.ts";

/** The log as the start found or made it. */
export interface OpenedLog {
  readonly identity: MemberIdentity;
  readonly storage: LogStorage;
  readonly hardState: HardState;
  /** Entries above the applied index, in order; in a cluster, those right before it come first, for followers that lag. */
  readonly entries: readonly EntryBatch[];
  readonly lastIndex: number;
  /** Term of the entry at the applied index; 0 for a new log. */
  readonly appliedTerm: number;
  /** Newest snapshot marker. */
  readonly snapshotIndex: number;
}

/** Opens or creates it. Throws `WalError` with file and offset. */
export async function openLog(
  options: MemberOptions,
  recovered: Recovered,
  walOptions: WalOptions,
): Promise<OpenedLog> {
  if (!options.inMemory && !options.bootstrap) return reopenLog(options, recovered, walOptions);
  if (recovered.consistentIndex > 0) {
    throw new Error(
      `database ${options.databasePath} holds entries up to ${recovered.consistentIndex}, but there is no log in ${options.walDir}`,
    );
  }
  const { memberId, clusterId } = options;
  const identity = { memberId, clusterId };
  const entries = encodeBootstrapEntries(options.foundingMembers);
  const founding = entries.map((data) => ({ type: EntryType.confChange, term: BOOTSTRAP_TERM, data }));
  // A member that joins begins with nothing: the leader fills its log.
  const hardState =
    entries.length === 0 ? { term: 0, vote: 0n, commit: 0 } : bootstrapHardState(entries.length);
  const storage: LogStorage = options.inMemory
    ? new MemoryLog()
    : await createWal(
        options.walDir,
        { nodeId: memberId, clusterId },
        { ...walOptions, founding, hardState },
      );
  return {
    identity,
    storage,
    hardState,
    entries: entries.length === 0 ? [] : [keepConfChanges(entries, BOOTSTRAP_TERM, 1)],
    lastIndex: entries.length,
    appliedTerm: 0,
    snapshotIndex: 0,
  };
}

/** A batch of conf changes from `firstIndex` on, as if they had been read from the log. */
function keepConfChanges(entries: readonly Uint8Array[], term: number, firstIndex: number): EntryBatch {
  const batch = new WalBatch();
  entries.forEach((data, i) =>
    batch.keepEntry(EntryType.confChange, term, firstIndex + i, data, 0, data.length),
  );
  return batch;
}

/** How many entries that storage has already are wanted for followers: none of a member that is alone. */
function entriesKeptBefore(options: MemberOptions, { voters, learners }: Recovered): number {
  const isAlone = options.forceNewCluster || voters.length + learners.length < 2;
  return isAlone ? 0 : options.snapshotCatchupEntries;
}

/** How far the entries lead from `appliedIndex` on without a gap. */
function lastConsecutive(batches: readonly EntryBatch[], appliedIndex: number): number {
  let last = appliedIndex;
  for (const { firstIndex, count } of batches) {
    if (firstIndex <= last + 1) last = Math.max(last, firstIndex + count - 1);
  }
  return last;
}

async function reopenLog(
  options: MemberOptions,
  recovered: Recovered,
  walOptions: WalOptions,
): Promise<OpenedLog> {
  const { consistentIndex: appliedIndex, term } = recovered;
  const { wal, contents } = await openWal(options.walDir, appliedIndex, {
    ...walOptions,
    keptBefore: entriesKeptBefore(options, recovered),
  });
  const { metadata, lastIndex, afterTerm, snapshots } = contents;
  if (lastIndex < appliedIndex) {
    await wal.close();
    throw new Error(
      `log ${options.walDir} ends at index ${lastIndex}, but database ${options.databasePath} holds entries up to ${appliedIndex}: ` +
        `entries are lost, or the two do not belong together`,
    );
  }
  if (afterTerm !== 0 && afterTerm !== term) {
    await wal.close();
    throw new Error(
      `entry ${appliedIndex} has term ${afterTerm} in the log ${options.walDir}, but term ${term} in database ` +
        `${options.databasePath}: the two do not belong together`,
    );
  }
  const snapshotIndex = snapshots.at(-1)?.index ?? 0;
  const reached = lastConsecutive(contents.entries, appliedIndex);
  if (reached < snapshotIndex) {
    await wal.close();
    throw new Error(
      `log ${options.walDir} goes on behind a snapshot at index ${snapshotIndex}, but database ${options.databasePath} holds entries ` +
        `up to ${appliedIndex} and ${join(options.snapDir, snapshotFileName(snapshotIndex))} is missing: remove this member and add it anew`,
    );
  }
  const opened: OpenedLog = {
    identity: { memberId: metadata.nodeId, clusterId: metadata.clusterId },
    storage: wal,
    hardState: contents.hardState,
    entries: contents.entries,
    lastIndex,
    appliedTerm: afterTerm === 0 ? term : afterTerm,
    snapshotIndex,
  };
  if (!options.forceNewCluster) return opened;
  const forced = await forceNewCluster(opened, wal, recovered);
  walOptions.log?.("info", "forcing restart member", {
    "cluster-id": formatId(metadata.clusterId),
    "local-member-id": formatId(metadata.nodeId),
    "wal-commit-index": contents.hardState.commit,
    "commit-index": forced.hardState.commit,
  });
  return forced;
}

/**
 * Cuts the log at what is committed and removes every other member, durably. The commit index in a log lags behind what was
 * applied, so the database's index counts too.
 */
async function forceNewCluster(opened: OpenedLog, wal: Wal, recovered: Recovered): Promise<OpenedLog> {
  const { vote } = opened.hardState;
  const term = Math.max(opened.hardState.term, BOOTSTRAP_TERM);
  const commit = Math.max(opened.hardState.commit, recovered.consistentIndex);
  const roles: MemberRoles = new Map(recovered.voters.map((id) => [id, false]));
  for (const id of recovered.learners) roles.set(id, true);
  replayConfChanges(roles, opened.entries, commit);
  const removals = encodeRemovals(roles, opened.identity.memberId);
  removals.forEach((data, i) =>
    wal.appendEntry(EntryType.confChange, term, commit + 1 + i, data, 0, data.length),
  );
  const hardState = { term, vote, commit: commit + removals.length };
  if (removals.length > 0) await wal.flush();
  wal.appendHardState(hardState);
  if (wal.pendingBytes > 0) await wal.flush();
  const entries = opened.entries.map((batch) => cutBehind(batch, commit)).filter(({ count }) => count > 0);
  if (removals.length > 0) entries.push(keepConfChanges(removals, term, commit + 1));
  return { ...opened, hardState, entries, lastIndex: hardState.commit };
}

/** The entries of a batch up to `index`. */
function cutBehind(batch: EntryBatch, index: number): EntryBatch {
  const count = Math.min(batch.count, Math.max(0, index - batch.firstIndex + 1));
  if (count === batch.count) return batch;
  const kept = new WalBatch();
  for (let i = 0; i < count; i++) {
    kept.keepEntry(
      batch.type(i),
      batch.term(i),
      batch.firstIndex + i,
      batch.bytes,
      batch.dataStart(i),
      batch.dataEnd(i),
    );
  }
  return kept;
}
