/** The value inside an encoded mvccpb.KeyValue, and the order of values. */
import type { KeyMeta, MvccStore } from "../mvcc/store.ts";
import { WireReader } from "../proto/wire.ts";
import type { ByteBuffer } from "./byte-buffer.ts";

const KEY_VALUE_TAG_VALUE = (5 << 3) | 2;

const reader = new WireReader();

/** Finds the value in the KeyValue `bytes[start, end)`; returns its length, see {@link foundValueStart}. */
export function findValue(bytes: Uint8Array, start: number, end: number): number {
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === KEY_VALUE_TAG_VALUE) return reader.length();
    reader.skip(tag);
  }
  return 0;
}

/** Where the value begins that {@link findValue} found last. */
export function foundValueStart(): number {
  return reader.position;
}

/** Copies the KeyValue of `meta` into `into` and finds its value; returns its length, see {@link foundValueStart}. */
export function fetchValue(store: MvccStore, meta: KeyMeta, into: ByteBuffer): number {
  into.clear();
  into.ensure(meta.encodedBytes);
  return findValue(into.bytes, 0, store.copyKeyValue(meta, into.bytes, 0));
}
