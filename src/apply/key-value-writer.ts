/** Sizes and bytes of one KeyValue as a field of an answer, whole or without its value. */
import type { KeyMeta, MvccStore } from "../mvcc/store.ts";
import { keyOnlyBytes, prefixBytes, TAG_KEY, writeKeyOnlyTail, writePrefix } from "../proto/kv-encode.ts";
import { ByteBuffer } from "./byte-buffer.ts";

/** Room for tag and length prefixes before a KeyValue and its key, and for the varints behind the key. */
const OVERHEAD_BYTES_MAX = 64;

const keyScratch = new ByteBuffer();

/** Copies the key of `meta` to the start of a buffer shared by all callers; returns its length. */
export function fetchKey(store: MvccStore, meta: KeyMeta): number {
  // A key is never longer than the KeyValue that holds it.
  keyScratch.clear();
  keyScratch.ensure(meta.encodedBytes);
  return store.copyKey(meta.keyId, keyScratch.bytes, 0);
}

/** The buffer that {@link fetchKey} fills. */
export function fetchedKey(): Uint8Array {
  return keyScratch.bytes;
}

/** Bytes of the KeyValue itself, as {@link appendKeyValue} would write it. */
export function keyValueBytes(store: MvccStore, meta: KeyMeta, keysOnly: boolean): number {
  return keysOnly ? keyOnlyBytes(fetchKey(store, meta), meta) : meta.encodedBytes;
}

/** Bytes of the whole field: tag, length, KeyValue. */
export function fieldBytes(keyValue: number): number {
  return prefixBytes(keyValue) + keyValue;
}

/** Appends the KeyValue as a field with tag `tag`. */
export function appendKeyValue(
  store: MvccStore,
  meta: KeyMeta,
  keysOnly: boolean,
  tag: number,
  out: ByteBuffer,
): void {
  out.ensure(meta.encodedBytes + OVERHEAD_BYTES_MAX);
  if (keysOnly) {
    out.length = writeKeyOnly(store, meta, tag, out.bytes, out.length);
    return;
  }
  const offset = writePrefix(out.bytes, out.length, tag, meta.encodedBytes);
  out.length = store.copyKeyValue(meta, out.bytes, offset);
}

function writeKeyOnly(
  store: MvccStore,
  meta: KeyMeta,
  tag: number,
  target: Uint8Array,
  offset: number,
): number {
  const keyBytes = fetchKey(store, meta);
  offset = writePrefix(target, offset, tag, keyOnlyBytes(keyBytes, meta));
  offset = writePrefix(target, offset, TAG_KEY, keyBytes);
  const key = keyScratch.bytes;
  for (let i = 0; i < keyBytes; i++) target[offset + i] = key[i];
  return writeKeyOnlyTail(target, offset + keyBytes, meta);
}
