/**
 * What a store must hold after a known sequence of writes: the model that crash tests compare a member with. Independent of
 * our own MVCC code on purpose.
 */
import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { crc32c } from "../../src/base/crc32c.ts";
import { KeyValueSchema, type KeyValue } from "../../src/proto/gen/kv_pb.ts";

/** One change of one key. Without a value it is a deletion. */
export interface Change {
  readonly key: string;
  readonly value?: string;
}

/** All changes of one revision, in the order of their sub revisions. */
export interface Write {
  readonly revision: number;
  readonly changes: readonly Change[];
}

/** Writes by revision, each revision once. */
export class History {
  readonly #writes = new Map<number, Write>();

  /** Adds a write that is known to have happened. A revision that is there already is two answers for one revision. */
  add(write: Write): void {
    const other = this.#writes.get(write.revision);
    assert.equal(
      other,
      undefined,
      `revision ${write.revision} holds both ${describe(other)} and ${describe(write)}`,
    );
    this.#writes.set(write.revision, write);
  }

  /** Fails unless exactly the revisions from 2 to `current` are here. Returns the writes in order. */
  assertGapless(current: number): Write[] {
    const ordered: Write[] = [];
    for (let revision = 2; revision <= current; revision++) {
      const write = this.#writes.get(revision);
      assert.ok(write, `revision ${revision} of ${current} was written by no request that was sent`);
      ordered.push(write);
    }
    assert.equal(
      this.#writes.size,
      ordered.length,
      `acknowledged revisions lie beyond the current one, ${current}`,
    );
    return ordered;
  }
}

/** Replays writes: the KeyValue that each put leaves, the state at the end, and etcd's hash over all of it. */
export class Replay {
  /** Live keys after the last write. */
  readonly state = new Map<string, KeyValue>();
  #crc = crcOf(0, Buffer.from("key"));

  /** Applies the next write. Returns for each change what a read of the key at this revision must give. */
  apply(write: Write): Array<KeyValue | undefined> {
    return write.changes.map(({ key, value }, sub) => {
      const kv = value === undefined ? undefined : this.#put(write.revision, key, value);
      this.#hash(write.revision, sub, kv, key);
      if (kv === undefined) this.state.delete(key);
      else this.state.set(key, kv);
      return kv;
    });
  }

  /** HashKV of the whole uncompacted history: CRC-32C over the bucket's name and every record's key and value. */
  get hashKv(): number {
    return this.#crc;
  }

  #put(revision: number, key: string, value: string): KeyValue {
    const old = this.state.get(key);
    const modRevision = BigInt(revision);
    return create(KeyValueSchema, {
      key: Buffer.from(key),
      value: Buffer.from(value),
      createRevision: old?.createRevision ?? modRevision,
      modRevision,
      version: (old?.version ?? 0n) + 1n,
    });
  }

  #hash(main: number, sub: number, kv: KeyValue | undefined, key: string): void {
    const name = Buffer.alloc(kv === undefined ? 18 : 17, "_");
    name.writeBigUInt64BE(BigInt(main), 0);
    name.writeBigUInt64BE(BigInt(sub), 9);
    if (kv === undefined) name.write("t", 17);
    const value = toBinary(KeyValueSchema, kv ?? create(KeyValueSchema, { key: Buffer.from(key) }));
    this.#crc = crcOf(crcOf(this.#crc, name), value);
  }
}

function crcOf(crc: number, bytes: Uint8Array): number {
  return crc32c(crc, bytes, 0, bytes.length);
}

function describe(write: Write | undefined): string {
  return JSON.stringify(write?.changes.map(({ key, value }) => ({ key, value: value?.slice(0, 40) })));
}
