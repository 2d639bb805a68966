import { EntryType, StepResult } from "../raft.ts";
import { takeProposal } from "./proposals.ts";
import { singleEntry } from "./entry-slices.ts";
import type { EntryId } from "./raft-log.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";
import { takeAcknowledgement } from "./step-leader.ts";

/** Storage holds everything up to `id` durably. `memberTerm` was the member's term when that write began. */
export function takeStored(raft: RaftState, id: EntryId, memberTerm: number): void {
  if (memberTerm < raft.term) {
    // Entries may have been replaced, and replaced back, since.
    raft.logger.info(
      `${hex(raft.id)} [term: ${raft.term}] ignored entry appends from a MsgStorageAppendResp message with lower term [term: ${memberTerm}]`,
    );
    return;
  }
  raft.log.stableTo(id);
  // Within its term a leader never replaces an entry, so storage holds what the log has.
  if (raft.role === "leader" && id.term === raft.term && raft.self !== null)
    takeAcknowledgement(raft, raft.self, id.index);
}

/** The conf change that leaves a joint configuration: an empty one. Without data it is never refused for its size. */
const LEAVE_JOINT = singleEntry(new Uint8Array(0), EntryType.confChangeV2);

/**
 * Everything up to `index` is applied. A leader whose joint configuration is to be left by itself proposes that now.
 */
export function takeApplied(raft: RaftState, index: number): void {
  const { log, logger, tracker } = raft;
  const applied = Math.max(index, log.applied);
  log.appliedTo(applied);
  raft.uncommitted.appliedTo(applied);
  const { configuration } = tracker;
  if (!configuration.autoLeave || applied < raft.pendingConfIndex || raft.role !== "leader") return;
  if (takeProposal(raft, LEAVE_JOINT) === StepResult.ok)
    logger.info(`initiating automatic transition out of joint configuration ${configuration.toString()}`);
  else
    logger.debug(
      `not initiating automatic transition out of joint configuration ${configuration.toString()}: raft proposal dropped`,
    );
}

/** The snapshot at `index` is the state now. */
export function takeSnapshotInstalled(raft: RaftState, index: number): void {
  raft.log.stableSnapshotTo(index);
  takeApplied(raft, index);
}
