import { EntryType, StepResult } from "../raft.ts";
import type { EntryBatch, EntrySlice } from "../raft.ts";
import { decodeConfChange, describeConfChange } from "./conf-change-entry.ts";
import { acknowledgeOwnAppend } from "./election.ts";
import { countEntries, payloadBytesOf } from "./entry-size.ts";
import { NONE } from "./messages.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";
import { broadcastAppend } from "./replication.ts";

const NO_BYTES = new Uint8Array(0);

/**
 * Leader: appends one normal entry, for the next ready to send. Its own acknowledgement comes with `entriesStored`, so that a
 * proposal costs no message. Returns the index, 0 if it cannot be taken.
 */
export function appendProposal(raft: RaftState, bytes: Uint8Array, start: number, end: number): number {
  if (raft.role !== "leader" || raft.self === null || raft.transferee !== NONE) return 0;
  if (!raft.uncommitted.hasRoom(end - start)) return 0;
  const index = raft.log.append(EntryType.normal, raft.term, bytes, start, end);
  raft.uncommitted.add(index, end - start);
  if (raft.tracker.members.length > 1) raft.appendsPending = true;
  return index;
}

/** Leader: takes the entries of a MsgProp, all or none. Returns a {@link StepResult}. */
export function takeProposal(raft: RaftState, entries: readonly EntrySlice[]): number {
  if (countEntries(entries) === 0) return StepResult.proposalDropped;
  // Removed from the configuration, but still leading until that is committed.
  if (raft.self === null) return StepResult.proposalDropped;
  if (raft.transferee !== NONE) {
    raft.logger.debug(
      `${hex(raft.id)} [term ${raft.term}] transfer leadership to ${hex(raft.transferee)} is in progress; dropping proposal`,
    );
    return StepResult.proposalDropped;
  }
  const refused = checkConfChanges(raft, entries);
  if (refused === null || !append(raft, entries, refused)) return StepResult.proposalDropped;
  acknowledgeOwnAppend(raft);
  broadcastAppend(raft);
  return StepResult.ok;
}

/** Indexes that refused conf changes among the entries would get; null if one cannot even be read. */
function checkConfChanges(raft: RaftState, entries: readonly EntrySlice[]): ReadonlySet<number> | null {
  const refused = new Set<number>();
  let index = raft.log.lastIndex + 1;
  for (const { batch, from, count } of entries) {
    for (let i = from; i < from + count; i++, index++) {
      if (batch.type(i) === EntryType.normal) continue;
      const result = checkConfChange(raft, batch, i);
      if (result === "malformed") return null;
      if (result === "refused") refused.add(index);
      else raft.pendingConfIndex = index;
    }
  }
  return refused;
}

/**
 * One conf change at a time, and an empty one only to leave a joint configuration. The check is made against what is applied, so
 * it is a help, not a guarantee.
 */
function checkConfChange(raft: RaftState, batch: EntryBatch, i: number): "taken" | "refused" | "malformed" {
  const data = batch.bytes.subarray(batch.dataStart(i), batch.dataEnd(i));
  const change = decodeConfChange(batch.type(i), data);
  if (change === null) return "malformed";
  if (raft.options.disableConfChangeValidation === true) return "taken";
  const { configuration } = raft.tracker;
  const reason = refusal(raft, change.changes.length === 0);
  if (reason === null) return "taken";
  raft.logger.info(
    `${hex(raft.id)} ignoring conf change ${describeConfChange(change)} at config ${configuration.toString()}: ${reason}`,
  );
  return "refused";
}

function refusal(raft: RaftState, wantsLeaveJoint: boolean): string | null {
  const { applied } = raft.log;
  const { isJoint } = raft.tracker.configuration;
  if (raft.pendingConfIndex > applied)
    return `possible unapplied conf change at index ${raft.pendingConfIndex} (applied to ${applied})`;
  if (isJoint && !wantsLeaveJoint) return "must transition out of joint config first";
  if (!isJoint && wantsLeaveJoint) return "not in joint state; refusing empty conf change";
  return null;
}

/** Appends entries, refused ones as empty ones, so that their proposers see an index go by. False if there are too many bytes. */
function append(raft: RaftState, entries: readonly EntrySlice[], refused: ReadonlySet<number>): boolean {
  const { log, term, uncommitted } = raft;
  if (!uncommitted.hasRoom(payloadBytesOf(entries) - refusedBytes(raft, entries, refused))) {
    raft.logger.warning(
      `${hex(raft.id)} appending new entries to log would exceed uncommitted entry size limit; dropping proposal`,
    );
    return false;
  }
  for (const { batch, from, count } of entries) {
    for (let i = from; i < from + count; i++) {
      if (refused.size > 0 && refused.has(log.lastIndex + 1)) {
        uncommitted.add(log.append(EntryType.normal, term, NO_BYTES, 0, 0), 0);
        continue;
      }
      const start = batch.dataStart(i);
      const end = batch.dataEnd(i);
      uncommitted.add(log.append(batch.type(i), term, batch.bytes, start, end), end - start);
    }
  }
  return true;
}

/** Bytes of data that are not appended because their conf changes are refused. */
function refusedBytes(raft: RaftState, entries: readonly EntrySlice[], refused: ReadonlySet<number>): number {
  if (refused.size === 0) return 0;
  let bytes = 0;
  let index = raft.log.lastIndex + 1;
  for (const { batch, from, count } of entries) {
    for (let i = from; i < from + count; i++, index++) {
      if (refused.has(index)) bytes += batch.dataEnd(i) - batch.dataStart(i);
    }
  }
  return bytes;
}
