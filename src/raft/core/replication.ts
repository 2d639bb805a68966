import { assert } from "../../base/assert.ts";
import { MessageType } from "../raft.ts";
import type { EntrySlice, SnapshotMeta } from "../raft.ts";
import type { Progress } from "../tracker/progress.ts";
import { countEntries, payloadBytesOf } from "./entry-size.ts";
import { newMessage, snapshotMessage } from "./messages.ts";
import { UNKNOWN_TERM } from "./raft-log.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";

const NO_ENTRIES: readonly EntrySlice[] = [];

/** Sends an append with what fits, an empty one if there is nothing, unless the follower's flow is paused. */
export function sendAppend(raft: RaftState, to: Progress): void {
  maybeSendAppend(raft, to, true);
}

/**
 * Sends the follower what it lacks next: entries, or a snapshot if they are gone. Returns true if something was sent.
 * @param sendIfEmpty whether a message without entries, which tells the commit index and probes, is wanted
 */
export function maybeSendAppend(raft: RaftState, to: Progress, sendIfEmpty: boolean): boolean {
  if (to.isPaused) return false;
  const { log, options } = raft;
  const previous = to.next - 1;
  const previousTerm = log.term(previous);
  if (previousTerm === UNKNOWN_TERM) return maybeSendSnapshot(raft, to);

  // A full window still lets empty appends pass: should everything in it be lost, its acknowledgement or rejection clears it.
  const mayCarry = to.state !== "replicate" || !to.inflights.isFull;
  const entries = mayCarry ? log.entriesFrom(to.next, options.messageBytesMax) : NO_ENTRIES;
  if (entries === null) return maybeSendSnapshot(raft, to);
  const count = countEntries(entries);
  if (count === 0 && !sendIfEmpty) return false;

  const message = newMessage(MessageType.app, to.id);
  message.index = previous;
  message.logTerm = previousTerm;
  message.entries = entries;
  message.commit = log.committed;
  raft.send(message);
  to.sentEntries(count, to.inflights.bytesMax === 0 ? 0 : payloadBytesOf(entries));
  to.sentCommit = log.committed;
  return true;
}

/** Sends everybody what they lack, now or with the next ready. */
export function broadcastAppend(raft: RaftState): void {
  if (raft.options.deferAppends === true) {
    raft.appendsPending = true;
    return;
  }
  for (const member of raft.tracker.members) if (member.id !== raft.id) sendAppend(raft, member);
}

/** Sends what has gathered since the last ready, each follower as much as its window takes. */
export function flushAppends(raft: RaftState): void {
  raft.appendsPending = false;
  if (raft.role !== "leader") return;
  for (const member of raft.tracker.members) {
    if (member.id === raft.id) continue;
    if (!maybeSendAppend(raft, member, member.canBumpCommit(raft.log.committed))) continue;
    while (maybeSendAppend(raft, member, false));
  }
}

/** A heartbeat to everybody; `context` comes back with the answers. */
export function broadcastHeartbeat(raft: RaftState, context: Uint8Array | null): void {
  for (const member of raft.tracker.members) {
    if (member.id !== raft.id) sendHeartbeat(raft, member, context);
  }
}

function sendHeartbeat(raft: RaftState, to: Progress, context: Uint8Array | null): void {
  // A follower's log may differ behind what is known to match, so it must not commit beyond that.
  const commit = Math.min(to.match, raft.log.committed);
  const message = newMessage(MessageType.heartbeat, to.id);
  message.commit = commit;
  message.context = context;
  raft.send(message);
  to.sentCommit = commit;
}

export function sendTimeoutNow(raft: RaftState, to: bigint): void {
  raft.send(newMessage(MessageType.timeoutNow, to));
}

/** Commits what a quorum holds of this term. */
export function tryCommit(raft: RaftState): boolean {
  return raft.log.tryCommit(raft.tracker.committedIndex(), raft.term);
}

function maybeSendSnapshot(raft: RaftState, to: Progress): boolean {
  const { logger, log } = raft;
  if (!to.recentActive) {
    logger.debug(`ignore sending snapshot to ${hex(to.id)} since it is not recently active`);
    return false;
  }
  const snapshot = raft.options.snapshot === undefined ? appliedState(raft) : raft.options.snapshot();
  const self = hex(raft.id);
  if (snapshot === null) {
    logger.debug(
      `${self} failed to send snapshot to ${hex(to.id)} because snapshot is temporarily unavailable`,
    );
    return false;
  }
  const { index, term } = snapshot;
  assert(index > 0, "need non-empty snapshot");
  logger.debug(
    `${self} [firstindex: ${log.firstIndex}, commit: ${log.committed}] sent snapshot[index: ${index}, term: ${term}] to ${hex(to.id)} [${to.toString()}]`,
  );
  to.becomeSnapshot(index);
  logger.debug(`${self} paused sending replication messages to ${hex(to.id)} [${to.toString()}]`);
  raft.send(snapshotMessage(to.id, snapshot));
  return true;
}

/** Null if nothing is applied. */
function appliedState(raft: RaftState): SnapshotMeta | null {
  const index = raft.log.applied;
  if (index === 0) return null;
  return { index, term: raft.log.termOrZero(index), confState: raft.tracker.confState };
}
