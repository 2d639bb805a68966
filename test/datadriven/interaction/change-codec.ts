import { encodeConfChange } from "../../../src/proto/conf-change.ts";
import type { ConfChange, ConfChangeSingle } from "../../../src/raft/raft.ts";

const NO_BYTES = new Uint8Array(0);

/** raftpb.ConfChange. */
export function encodeChangeV1({ type, nodeId }: ConfChangeSingle): Uint8Array {
  return encodeConfChange({ id: 0n, type, nodeId, context: NO_BYTES });
}

/** raftpb.ConfChangeV2 {1 transition, 2 changes {1 type, 2 node_id}}, zeros written. Node ids of one byte: traces have few members. */
export function encodeChangeV2({ transition, changes }: ConfChange): Uint8Array {
  const parts = changes.flatMap(({ type, nodeId }) => [0x12, 4, 0x08, type, 0x10, Number(nodeId)]);
  return Uint8Array.from([0x08, transition, ...parts]);
}
