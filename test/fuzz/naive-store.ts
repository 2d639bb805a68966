/**
 * MVCC as simply as it can be written: every revision of every key in a list, every question answered by looking at all of
 * them. The reference that the real store is compared with.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import type { KeyMeta, KeyRange, MvccStore, RangeCursor } from "../../src/mvcc/store.ts";
import { KeyValueSchema } from "../../src/proto/gen/kv_pb.ts";

interface Version {
  main: number;
  sub: number;
  /** Null: a tombstone. */
  encoded: Uint8Array | null;
  createRevision: number;
  version: number;
  lease: bigint;
}

/** A key as a string of one char a byte: strings compare as the bytes do. */
export function toKeyText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

export function toKeyBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** The half-open rule of etcd's ranges. */
export function isInRange(key: string, range: KeyRange): boolean {
  const from = toKeyText(range.key);
  if (range.end === null) return key === from;
  if (range.end.length === 1 && range.end[0] === 0) return key >= from;
  return key >= from && key < toKeyText(range.end);
}

export class NaiveStore implements MvccStore {
  revision = 1;
  compactRevision = -1;
  readonly compactionWaitsForCursors = false;
  readonly #history = new Map<string, Version[]>();
  /** By id; ids begin at 1. */
  readonly #keys: string[] = [""];
  readonly #ids = new Map<string, number>();
  readonly #values: Uint8Array[] = [];
  #sub = -1;

  beginTxn(): void {
    this.#sub = 0;
  }

  endTxn(): number {
    if (this.#sub > 0) this.revision++;
    this.#sub = -1;
    return this.revision;
  }

  put(
    kb: Uint8Array,
    ks: number,
    ke: number,
    vb: Uint8Array,
    vs: number,
    ve: number,
    low: number,
    high: number,
  ): number {
    const key = toKeyText(kb.subarray(ks, ke));
    const previous = this.#at(key, Infinity);
    const main = this.revision + 1;
    const lease = BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low));
    const createRevision = previous?.createRevision ?? main;
    const version = (previous?.version ?? 0) + 1;
    const message = create(KeyValueSchema, {
      key: kb.slice(ks, ke),
      value: vb.slice(vs, ve),
      createRevision: BigInt(createRevision),
      modRevision: BigInt(main),
      version: BigInt(version),
      lease,
    });
    this.#add(key, {
      main,
      sub: this.#sub++,
      encoded: toBinary(KeyValueSchema, message),
      createRevision,
      version,
      lease,
    });
    return this.#idOf(key);
  }

  deleteKeys(keyIds: Uint32Array): void {
    const keys = Array.from(keyIds, (id) => this.#keys[id]).toSorted();
    for (const key of keys) this.deleteRange({ key: toKeyBytes(key), end: null });
  }

  deleteRange(range: KeyRange): number {
    const doomed = this.#live(range, Infinity).map(([key]) => key);
    for (const key of doomed) {
      this.#add(key, {
        main: this.revision + 1,
        sub: this.#sub++,
        encoded: null,
        createRevision: 0,
        version: 0,
        lease: 0n,
      });
    }
    return doomed.length;
  }

  lookup(kb: Uint8Array, ks: number, ke: number, revision: number, meta: KeyMeta): boolean {
    const key = toKeyText(kb.subarray(ks, ke));
    const version = this.#at(key, revision === 0 ? Infinity : revision);
    if (version === undefined) return false;
    this.#fill(meta, key, version);
    return true;
  }

  count(range: KeyRange, revision: number): number {
    return this.#live(range, revision === 0 ? Infinity : revision).length;
  }

  openCursor(range: KeyRange, revision: number): RangeCursor {
    const live = this.#live(range, revision === 0 ? Infinity : revision);
    let next = 0;
    return {
      next: (meta) => {
        if (next === live.length) return false;
        const [key, version] = live[next++];
        this.#fill(meta, key, version);
        return true;
      },
      close: () => {},
    };
  }

  keyLength(keyId: number): number {
    return this.#keys[keyId].length;
  }

  copyKey(keyId: number, target: Uint8Array, offset: number): number {
    const key = toKeyBytes(this.#keys[keyId]);
    target.set(key, offset);
    return key.length;
  }

  copyKeyValue(meta: KeyMeta, target: Uint8Array, offset: number): number {
    const encoded = this.#values[meta.location];
    target.set(encoded, offset);
    return offset + encoded.length;
  }

  compact(revision: number): void {
    this.compactRevision = revision;
  }

  compactSlice(): boolean {
    return true;
  }

  committed(): void {}

  #at(key: string, revision: number): Version | undefined {
    const newest = this.#history.get(key)?.findLast((version) => version.main <= revision);
    return newest === undefined || newest.encoded === null ? undefined : newest;
  }

  #live(range: KeyRange, revision: number): Array<[string, Version]> {
    const live: Array<[string, Version]> = [];
    for (const key of [...this.#history.keys()].toSorted()) {
      const version = isInRange(key, range) ? this.#at(key, revision) : undefined;
      if (version !== undefined) live.push([key, version]);
    }
    return live;
  }

  #add(key: string, version: Version): void {
    const versions = this.#history.get(key);
    if (versions === undefined) this.#history.set(key, [version]);
    else versions.push(version);
  }

  #idOf(key: string): number {
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.#keys.push(key) - 1;
      this.#ids.set(key, id);
    }
    return id;
  }

  #fill(meta: KeyMeta, key: string, version: Version): void {
    const encoded = version.encoded as Uint8Array;
    meta.keyId = this.#idOf(key);
    meta.createRevision = version.createRevision;
    meta.modRevision = version.main;
    meta.sub = version.sub;
    meta.version = version.version;
    meta.leaseLow = Number(BigInt.asUintN(32, version.lease));
    meta.leaseHigh = Number(BigInt.asUintN(32, version.lease >> 32n));
    meta.encodedBytes = encoded.length;
    meta.location = this.#values.push(encoded) - 1;
  }
}
