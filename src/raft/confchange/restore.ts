import type { ConfChangeSingle, ConfState } from "../raft.ts";
import { Configuration } from "../tracker/configuration.ts";
import { Changer, type ChangeResult, type ChangerOptions, type GroupState } from "./changer.ts";
import { ConfChangeType } from "./conf-change-type.ts";

/**
 * The state of a group whose configuration is `confState`, made by the changes that lead to it from nothing: so every rule for
 * changes is also applied to what a snapshot says. Whether the outcome equals `confState` is the caller's to check.
 */
export function restore(confState: ConfState, options: ChangerOptions): ChangeResult {
  const outgoing = changesOf(ConfChangeType.addNode, confState.votersOutgoing);
  // The outgoing voters are the incoming ones of the time before the joint change, which replaces all of them.
  const incoming = [
    ...changesOf(ConfChangeType.removeNode, confState.votersOutgoing),
    ...changesOf(ConfChangeType.addNode, confState.voters),
    ...changesOf(ConfChangeType.addLearnerNode, confState.learners),
    ...changesOf(ConfChangeType.addLearnerNode, confState.learnersNext),
  ];
  const nothing = { configuration: Configuration.empty, progress: new Map() };
  if (outgoing.length === 0) return oneByOne(nothing, incoming, options);
  const before = oneByOne(nothing, outgoing, options);
  return before.ok ? new Changer(before, options).enterJoint(confState.autoLeave, incoming) : before;
}

function oneByOne(
  start: GroupState,
  changes: readonly ConfChangeSingle[],
  options: ChangerOptions,
): ChangeResult {
  let result: ChangeResult = { ok: true, ...start };
  for (const change of changes) {
    if (result.ok) result = new Changer(result, options).simple([change]);
  }
  return result;
}

function changesOf(type: number, ids: readonly bigint[]): ConfChangeSingle[] {
  return ids.map((nodeId) => ({ type, nodeId }));
}
