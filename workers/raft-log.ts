/** Opens the raft thread's log: the WAL that is there, a new one with the founding entries, or one in memory. */

import type { MemberIdentity } from "../src/proto/response-header.ts";
import { BOOTSTRAP_TERM, bootstrapHardState, encodeBootstrapEntries } from "../src/raft/bootstrap.ts";
import type { LogStorage } from "../src/raft/raft-loop.ts";
import { EntryType, type EntryBatch, type HardState } from "../src/raft/raft.ts";
import { MemoryLog } from "../src/wal/memory-log.ts";
import { WalBatch } from "../src/wal/wal-batch.ts";
import { type WalOptions, createWal, openWal } from "../src/wal/wal.ts";
import type { MemberOptions, Recovered } from "./control.ts";

/** The log as the start found or made it. */
export interface OpenedLog {
  readonly identity: MemberIdentity;
  readonly storage: LogStorage;
  readonly hardState: HardState;
  /** Entries above the applied index, in order. */
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
  const entries = encodeBootstrapEntries(options.foundingMembers);
  const founding = entries.map((data) => ({ type: EntryType.confChange, term: BOOTSTRAP_TERM, data }));
  const storage: LogStorage = options.inMemory
    ? new MemoryLog()
    : await createWal(options.walDir, { nodeId: memberId, clusterId }, { ...walOptions, founding });
  const batch = new WalBatch();
  entries.forEach((data, i) =>
    batch.keepEntry(EntryType.confChange, BOOTSTRAP_TERM, i + 1, data, 0, data.length),
  );
  const hardState = bootstrapHardState(entries.length);
  storage.appendHardState(hardState);
  return {
    identity: { memberId, clusterId },
    storage,
    hardState,
    entries: [batch],
    lastIndex: entries.length,
    appliedTerm: 0,
    snapshotIndex: 0,
  };
}

async function reopenLog(
  options: MemberOptions,
  recovered: Recovered,
  walOptions: WalOptions,
): Promise<OpenedLog> {
  const { consistentIndex: appliedIndex, term } = recovered;
  const { wal, contents } = await openWal(options.walDir, appliedIndex, walOptions);
  const { metadata, hardState, entries, lastIndex, afterTerm, snapshots } = contents;
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
  return {
    identity: { memberId: metadata.nodeId, clusterId: metadata.clusterId },
    storage: wal,
    hardState,
    entries,
    lastIndex,
    appliedTerm: afterTerm,
    snapshotIndex: snapshots.at(-1)?.index ?? 0,
  };
}
