/**
 * `--force-new-cluster`: a member makes itself the only one, whatever the others would say. What its log holds beyond the commit
 * index is dropped, and entries that remove everybody else are appended as if they had been committed. Used when a quorum is
 * lost for ever; the others must never run again with their old data.
 */

import { ConfChangeType, decodeConfChange, encodeConfChange } from "../proto/conf-change.ts";
import { memberJson } from "./bootstrap.ts";
import { EntryType, type EntryBatch } from "./raft.ts";

/** Peer URL under which a member adds itself that its own configuration does not name; etcd's. */
const UNKNOWN_PEER_URL = "http://localhost:2380";
const NO_CONTEXT = new Uint8Array(0);

/** A configuration: true for a learner, by id. */
export type MemberRoles = Map<bigint, boolean>;

/**
 * Changes `roles` to what they are once all conf changes of `batches` up to `commitIndex` are applied.
 * @throws Error at a conf change that cannot be read
 */
export function replayConfChanges(
  roles: MemberRoles,
  batches: readonly EntryBatch[],
  commitIndex: number,
): void {
  const { addNode, removeNode, addLearnerNode } = ConfChangeType;
  for (const batch of batches) {
    for (let i = 0; i < batch.count && batch.firstIndex + i <= commitIndex; i++) {
      if (batch.type(i) !== EntryType.confChange) continue;
      const change = decodeConfChange(batch.bytes, batch.dataStart(i), batch.dataEnd(i));
      if (change === null)
        throw new Error(`the conf change at index ${batch.firstIndex + i} of the log cannot be read`);
      const { type, nodeId } = change;
      if (type === addNode || type === addLearnerNode) roles.set(nodeId, type === addLearnerNode);
      else if (type === removeNode) roles.delete(nodeId);
    }
  }
}

/**
 * Data of the conf change entries to append. `self` comes first when it is not there, or a learner (where etcd would end), since
 * no configuration may be without voters; then all others leave, ascending by id.
 */
export function encodeRemovals(roles: MemberRoles, self: bigint): Uint8Array[] {
  const others = [...roles.keys()].filter((id) => id !== self).sort((a, b) => (a < b ? -1 : 1));
  const removals = others.map((id) => encode(ConfChangeType.removeNode, id, NO_CONTEXT));
  const role = roles.get(self);
  if (role === false) return removals;
  const context = role === undefined ? addition(self) : `{"id":${self},"peerURLs":null,"isPromote":true}`;
  return [encode(ConfChangeType.addNode, self, new TextEncoder().encode(context)), ...removals];
}

function encode(type: number, nodeId: bigint, context: Uint8Array): Uint8Array {
  return encodeConfChange({ id: 0n, type, nodeId, context });
}

function addition(id: bigint): string {
  return memberJson({ id, name: "", peerUrls: [UNKNOWN_PEER_URL] });
}
