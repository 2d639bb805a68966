/** Keys and values as {@link Etcd} takes and gives them. */
import type { KeyValue } from "../proto/gen/kv_pb.ts";
import { prefixEnd } from "./key-prefix.ts";

/** Text stands for its UTF-8 bytes. */
export type Text = string | Uint8Array;

/** Which keys: one, all that begin with a prefix, or those from `from` (included) to `to` (excluded; left out: to the last key). */
export type Keys = Text | { readonly prefix: Text } | { readonly from: Text; readonly to?: Text };

const ZERO = Uint8Array.of(0);
const decoder = new TextDecoder();

/** A key with its value, at one revision. */
export class Entry {
  readonly keyBytes: Uint8Array;
  /** Empty for a key that was deleted, and where only keys were asked for. */
  readonly valueBytes: Uint8Array;
  /** Revision at which the key came to be, of its present life. */
  readonly createRevision: number;
  /** Revision of its last change. */
  readonly modRevision: number;
  /** Changes since it came to be, 1 for the first; 0 of a deleted key. */
  readonly version: number;
  /** The lease that it ends with; 0n = none. */
  readonly leaseId: bigint;

  constructor(kv: KeyValue) {
    this.keyBytes = kv.key;
    this.valueBytes = kv.value;
    this.createRevision = Number(kv.createRevision);
    this.modRevision = Number(kv.modRevision);
    this.version = Number(kv.version);
    this.leaseId = kv.lease;
  }

  /** The key as text. */
  get key(): string {
    return decoder.decode(this.keyBytes);
  }

  /** The value as text. */
  get value(): string {
    return decoder.decode(this.valueBytes);
  }

  /** The value, which is JSON. @throws SyntaxError if it is not */
  json(): unknown {
    return JSON.parse(this.value) as unknown;
  }
}

/** A present key, or null. */
export function entryOf(kv: KeyValue | undefined): Entry | null {
  return kv === undefined ? null : new Entry(kv);
}

export function bytesOf(text: Text): Uint8Array {
  return typeof text === "string" ? new TextEncoder().encode(text) : text;
}

/** As requests have it. @throws RangeError for an empty `to`, behind which nothing comes */
export function rangeOf(keys: Keys): { key: Uint8Array; rangeEnd: Uint8Array } {
  if (typeof keys === "string" || keys instanceof Uint8Array) {
    return { key: bytesOf(keys), rangeEnd: new Uint8Array(0) };
  }
  if ("prefix" in keys) {
    const prefix = bytesOf(keys.prefix);
    // An empty prefix is every key, of which a request cannot say that it begins with the empty one.
    return { key: prefix.length === 0 ? ZERO : prefix, rangeEnd: prefixEnd(prefix) };
  }
  const from = bytesOf(keys.from);
  const rangeEnd = keys.to === undefined ? ZERO : bytesOf(keys.to);
  if (rangeEnd.length === 0) throw new RangeError("there is no key in front of an empty `to`");
  return { key: from.length === 0 ? ZERO : from, rangeEnd };
}
