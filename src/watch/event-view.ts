/** Reading and writing of events as bytes: `mvccpb.KeyValue` in, `mvccpb.Event` as field 11 of WatchResponse out. */
import { copyBytes } from "../base/copy-bytes.ts";
import { varintBytes, WireReader, writeVarint } from "../proto/wire.ts";

const TAG_KEY = 0x0a;
const TAG_CREATE_REVISION = 0x10;
const TAG_MOD_REVISION = 0x18;
/** Field 11 of WatchResponse. */
const TAG_EVENTS = 0x5a;
const TAG_TYPE = 0x08;
const TYPE_DELETE = 1;
const TAG_KV = 0x12;
const TAG_PREV_KV = 0x1a;

/** Finds things in an encoded KeyValue without decoding it; reused. */
export class KeyValueView {
  /** Where the key lies, after {@link findKey}. */
  keyStart = 0;
  keyEnd = 0;
  readonly #wire = new WireReader();

  /** The key is the first field, in what we write and in what etcd writes; anything else is an empty key. */
  findKey(bytes: Uint8Array, start: number, end: number): void {
    this.keyStart = this.keyEnd = start;
    if (start === end || bytes[start] !== TAG_KEY) return;
    let length = bytes[start + 1];
    let at = start + 2;
    if (length >= 0x80) {
      const wire = this.#wire;
      wire.reset(bytes, start + 1, end);
      length = wire.length();
      at = wire.position;
    }
    this.keyStart = at;
    this.keyEnd = at + length;
  }

  /** Whether this is the first version of its key: created by the change itself. */
  isCreation(bytes: Uint8Array, start: number, end: number): boolean {
    const wire = this.#wire;
    wire.reset(bytes, start, end);
    let created = 0;
    let modified = 0;
    for (let tag = wire.tag(); tag !== 0; tag = wire.tag()) {
      if (tag === TAG_CREATE_REVISION) created = wire.int64();
      else if (tag === TAG_MOD_REVISION) return created === (modified = wire.int64());
      else wire.skip(tag);
    }
    return created === modified;
  }
}

/** Bytes that {@link writeModRevision} writes. */
export function modRevisionBytes(revision: number): number {
  return 1 + varintBytes(revision);
}

/** What is added to a tombstone, which holds the key alone, so that it is the KeyValue of a DELETE event. */
export function writeModRevision(target: Uint8Array, offset: number, revision: number): number {
  target[offset] = TAG_MOD_REVISION;
  return writeVarint(target, offset + 1, revision);
}

/** Length of an event without the tag and length in front of it; `prevBytes` -1 = without a previous value. */
function bodyBytes(tombstone: boolean, kvBytes: number, prevBytes: number): number {
  const kv = (tombstone ? 3 : 1) + varintBytes(kvBytes) + kvBytes;
  return prevBytes < 0 ? kv : kv + 1 + varintBytes(prevBytes) + prevBytes;
}

/** Bytes of an event as a field of WatchResponse; `prevBytes` -1 = without a previous value. */
export function eventFieldBytes(tombstone: boolean, kvBytes: number, prevBytes: number): number {
  const body = bodyBytes(tombstone, kvBytes, prevBytes);
  return 1 + varintBytes(body) + body;
}

/** Writes the event up to and with its KeyValue; a previous value of `prevBytes` follows by {@link writePrevious}. */
export function writeEvent(
  target: Uint8Array,
  offset: number,
  tombstone: boolean,
  bytes: Uint8Array,
  start: number,
  end: number,
  prevBytes: number,
): number {
  target[offset] = TAG_EVENTS;
  let at = writeVarint(target, offset + 1, bodyBytes(tombstone, end - start, prevBytes));
  if (tombstone) {
    target[at++] = TAG_TYPE;
    target[at++] = TYPE_DELETE;
  }
  target[at] = TAG_KV;
  at = writeVarint(target, at + 1, end - start);
  copyBytes(bytes, start, end, target, at);
  return at + end - start;
}

/** Writes the previous value of the event in front of it. */
export function writePrevious(
  target: Uint8Array,
  offset: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  target[offset] = TAG_PREV_KV;
  const at = writeVarint(target, offset + 1, end - start);
  copyBytes(bytes, start, end, target, at);
  return at + end - start;
}
