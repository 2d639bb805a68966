/** HashKVResponse of our own, read back: for other members, who get it as JSON, and for the corruption checks. */

import { WireReader } from "../proto/wire.ts";
import type { MemberHash } from "./corruption-check.ts";

const TAG_HEADER = 0x0a;
const TAG_HASH = 0x10;
const TAG_COMPACT_REVISION = 0x18;
const TAG_HASH_REVISION = 0x20;
const HEADER_TAG_REVISION = 0x18;

/** HashKVResponse {1 header {3 revision}, 2 hash, 3 compact_revision, 4 hash_revision}. */
export function decodeHashKvResponse(bytes: Uint8Array): MemberHash {
  const reader = new WireReader();
  let [revision, hash, compactRevision, hashRevision] = [0, 0, 0, 0];
  reader.reset(bytes, 0, bytes.length);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === TAG_HASH) hash = reader.int64();
    else if (tag === TAG_COMPACT_REVISION) compactRevision = reader.int64();
    else if (tag === TAG_HASH_REVISION) hashRevision = reader.int64();
    else if (tag === TAG_HEADER) {
      const length = reader.length();
      revision = readRevision(bytes, reader.position, reader.position + length);
      reader.advance(length);
    } else reader.skip(tag);
  }
  return { revision, hash, compactRevision, hashRevision };
}

function readRevision(bytes: Uint8Array, start: number, end: number): number {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === HEADER_TAG_REVISION) return reader.int64();
    reader.skip(tag);
  }
  return 0;
}
