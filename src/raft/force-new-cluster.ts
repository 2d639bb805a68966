/**
 * `--force-new-cluster`: a member makes itself the only one, whatever the others would say. What its log holds beyond the commit
 * index is dropped, and entries that remove everybody else are appended as if they had been committed. Used when a quorum is
 * lost for ever; the others must never run again with their old data.
 */

import { WireReader } from "../proto/wire.ts";
import { ADD_NODE, REMOVE_NODE, encodeConfChange, memberJson } from "./bootstrap.ts";
import { EntryType, type EntryBatch } from "./raft.ts";

/** Peer URL under which a member adds itself that its own configuration does not name; etcd's. */
const UNKNOWN_PEER_URL = "http://localhost:2380";
const ADD_LEARNER_NODE = 3;

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
  const reader = new WireReader();
  for (const batch of batches) {
    for (let i = 0; i < batch.count && batch.firstIndex + i <= commitIndex; i++) {
      if (batch.type(i) !== EntryType.confChange) continue;
      reader.reset(batch.bytes, batch.dataStart(i), batch.dataEnd(i));
      const { type, nodeId } = decodeConfChange(reader, batch.firstIndex + i);
      if (type === ADD_NODE || type === ADD_LEARNER_NODE) roles.set(nodeId, type === ADD_LEARNER_NODE);
      else if (type === REMOVE_NODE) roles.delete(nodeId);
    }
  }
}

/**
 * Data of the conf change entries to append. `self` comes first when it is not there, or a learner (where etcd would end), since
 * no configuration may be without voters; then all others leave, ascending by id.
 */
export function encodeRemovals(roles: MemberRoles, self: bigint): Uint8Array[] {
  const others = [...roles.keys()].filter((id) => id !== self).sort((a, b) => (a < b ? -1 : 1));
  const removals = others.map((id) => encodeConfChange(REMOVE_NODE, id, null));
  const role = roles.get(self);
  if (role === false) return removals;
  const context = role === undefined ? addition(self) : `{"id":${self},"peerURLs":null,"isPromote":true}`;
  return [encodeConfChange(ADD_NODE, self, new TextEncoder().encode(context)), ...removals];
}

function addition(id: bigint): string {
  return memberJson({ id, name: "", peerUrls: [UNKNOWN_PEER_URL] });
}

/** raftpb.ConfChange, type and node id alone. */
function decodeConfChange(reader: WireReader, index: number): { type: number; nodeId: bigint } {
  let type = 0;
  let nodeId = 0n;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x10) type = reader.int32();
    else if (tag === 0x18) {
      reader.varint();
      nodeId = (BigInt(reader.high) << 32n) | BigInt(reader.low);
    } else reader.skip(tag);
  }
  if (reader.failed) throw new Error(`the conf change at index ${index} of the log cannot be read`);
  return { type, nodeId };
}
