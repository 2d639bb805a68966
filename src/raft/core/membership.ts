import { assert } from "../../base/assert.ts";
import { Changer } from "../confchange/changer.ts";
import type { ChangeResult, ChangerOptions } from "../confchange/changer.ts";
import { ConfChangeTransition } from "../confchange/conf-change-type.ts";
import { restore } from "../confchange/restore.ts";
import type { ConfChange, ConfState } from "../raft.ts";
import { entersJoint, leavesJoint } from "./conf-change-entry.ts";
import { becomeFollower } from "./election.ts";
import { NONE } from "./messages.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";
import { answerConfirmedReads, releasePostponedReads } from "./reading.ts";
import { broadcastAppend, maybeSendAppend, tryCommit } from "./replication.ts";

/** Takes over a configuration as a whole: at start, or from a snapshot. */
export function restoreConfiguration(raft: RaftState, confState: ConfState): void {
  const result = restore(confState, changerOptions(raft));
  switchTo(raft, result);
  const restored = raft.tracker.confState;
  assert(
    describeConfState(restored) === describeConfState(confState),
    "configuration differs from what it was restored from",
    describeConfState(restored),
    describeConfState(confState),
  );
}

/** Applies a committed change. One that cannot be applied ends the member: others may have applied it. */
export function applyConfChange(raft: RaftState, change: ConfChange): void {
  const { configuration, progress } = raft.tracker;
  // One that was refused while it was applied. As a simple change it would not be allowed in a joint configuration.
  if (configuration.isJoint && changesNothing(change)) return;
  const changer = new Changer({ configuration, progress }, changerOptions(raft));
  if (leavesJoint(change)) switchTo(raft, changer.leaveJoint());
  else if (entersJoint(change)) {
    const autoLeave = change.transition !== ConfChangeTransition.jointExplicit;
    switchTo(raft, changer.enterJoint(autoLeave, change.changes));
  } else switchTo(raft, changer.simple(change.changes));
}

function changesNothing({ changes }: ConfChange): boolean {
  return changes.length > 0 && changes.every(({ nodeId }) => nodeId === 0n);
}

function changerOptions(raft: RaftState): ChangerOptions {
  return { lastIndex: raft.log.lastIndex, ...raft.tracker.limits };
}

function switchTo(raft: RaftState, result: ChangeResult): void {
  assert(result.ok, result.ok ? "" : result.error);
  const { tracker } = raft;
  tracker.setConfiguration(result.configuration, result.progress);
  raft.self = tracker.get(raft.id) ?? null;
  raft.isLearner = raft.self?.isLearner ?? false;
  raft.isSoleVoter = tracker.isSingleton && result.configuration.voters.incoming.has(raft.id);
  raft.logger.info(`${hex(raft.id)} switched to configuration ${result.configuration.toString()}`);
  if (raft.role !== "leader") return;
  if (raft.self === null || raft.isLearner) {
    if (raft.options.stepDownOnRemoval === true) becomeFollower(raft, raft.term, NONE);
    return;
  }
  spreadChange(raft);
}

/** A leader lets the members of its new configuration know. */
function spreadChange(raft: RaftState): void {
  const { configuration, members } = raft.tracker;
  if (configuration.voters.incoming.size === 0) return;
  answerConfirmedReads(raft);
  if (tryCommit(raft)) {
    releasePostponedReads(raft);
    broadcastAppend(raft);
  } else {
    // New members need not wait for the next heartbeat.
    for (const member of members) if (member.id !== raft.id) maybeSendAppend(raft, member, false);
  }
  if (!configuration.voters.all.has(raft.transferee)) raft.transferee = NONE;
}

/** The same text for equal configurations. */
export function describeConfState(state: ConfState): string {
  const list = (ids: readonly bigint[]): string => `[${[...ids].sort((a, b) => Number(a - b)).join(" ")}]`;
  return (
    `Voters:${list(state.voters)} VotersOutgoing:${list(state.votersOutgoing)} Learners:${list(state.learners)} ` +
    `LearnersNext:${list(state.learnersNext)} AutoLeave:${state.autoLeave}`
  );
}
