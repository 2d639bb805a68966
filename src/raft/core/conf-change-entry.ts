import * as v1 from "../../proto/conf-change.ts";
import { decodeConfChangeV2 } from "../../proto/conf-change-v2.ts";
import { EntryType } from "../raft.ts";
import type { ConfChange } from "../raft.ts";

/** A conf change as it stands in an entry. */
export interface ConfChangeEntry extends ConfChange {
  /** What the proposer attached: the member as JSON. */
  readonly context: Uint8Array;
}

/** Reads the data of an entry of type conf change, V1 or V2; null if it is malformed. */
export function decodeConfChange(type: number, data: Uint8Array): ConfChangeEntry | null {
  if (type === EntryType.confChangeV2) return decodeConfChangeV2(data, 0, data.length);
  const change = v1.decodeConfChange(data, 0, data.length);
  if (change === null) return null;
  return { transition: 0, changes: [{ type: change.type, nodeId: change.nodeId }], context: change.context };
}

/** True if the change, an empty one, leaves a joint configuration. */
export function leavesJoint(change: ConfChange): boolean {
  return change.transition === 0 && change.changes.length === 0;
}

/** True if the change goes through a joint configuration. */
export function entersJoint(change: ConfChange): boolean {
  return change.transition !== 0 || change.changes.length > 1;
}

const TRANSITIONS = [
  "ConfChangeTransitionAuto",
  "ConfChangeTransitionJointImplicit",
  "ConfChangeTransitionJointExplicit",
];
const CHANGE_TYPES = [
  "ConfChangeAddNode",
  "ConfChangeRemoveNode",
  "ConfChangeUpdateNode",
  "ConfChangeAddLearnerNode",
];

/** As logs show it. */
export function describeConfChange(change: ConfChangeEntry): string {
  const words = [`transition:${TRANSITIONS[change.transition] ?? change.transition}`];
  for (const { type, nodeId } of change.changes) {
    words.push(`changes:{type:${CHANGE_TYPES[type] ?? type} node_id:${nodeId}}`);
  }
  if (change.context.length > 0)
    words.push(`context:${JSON.stringify(new TextDecoder().decode(change.context))}`);
  return words.join(" ");
}
