/**
 * Concurrent writers that know for each of their requests whether it was acknowledged, refused or left unknown by a crash.
 * Each writer owns its keys and sends one request at a time, so at most one request a writer is unknown after a crash.
 */
import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import type { Prng } from "../../src/base/prng.ts";
import type { KeyValue } from "../../src/proto/gen/kv_pb.ts";
import { KV, RequestOpSchema, type RequestOp } from "../../src/proto/gen/rpc_pb.ts";
import { failureOf, type EtcdClient } from "../support/etcd-client.ts";
import type { Change, Write } from "./history.ts";

const UNAVAILABLE = 14;
// Few, so that keys are overwritten and deleted often.
const KEYS_A_WRITER = 6;
// Now and then a value that fills WAL segments and pages.
const LARGE_VALUE_BYTES = 50_000;

/** Where a writer reports to. */
export interface WriteSink {
  acknowledged(write: Write): void;
}

/** One writer; lives through all crashes of a test. */
export class Writer {
  /** The changes of the request that the last crash left without an answer. */
  unknown: readonly Change[] | undefined;
  readonly #id: number;
  readonly #prng: Prng;
  readonly #live = new Set<string>();
  #serial = 0;
  #lastRevision = 0;

  constructor(id: number, prng: Prng) {
    this.#id = id;
    this.#prng = prng;
  }

  /** Sends requests until one of them fails because the member is gone. */
  async run(client: EtcdClient, sink: WriteSink): Promise<void> {
    for (;;) {
      const changes = this.#draw();
      let revision: number;
      try {
        revision = await send(client, changes);
      } catch (error) {
        const { code, message } = failureOf(error);
        assert.equal(code, UNAVAILABLE, `a writer was refused with ${code}: ${message}`);
        this.unknown = changes;
        return;
      }
      this.applied({ revision, changes });
      sink.acknowledged({ revision, changes });
    }
  }

  /** Notes a write that has taken effect. */
  applied(write: Write): void {
    assert.ok(
      write.revision > this.#lastRevision,
      `revision ${write.revision} came after ${this.#lastRevision}`,
    );
    this.#lastRevision = write.revision;
    for (const { key, value } of write.changes) {
      if (value === undefined) this.#live.delete(key);
      else this.#live.add(key);
    }
  }

  #draw(): Change[] {
    const [first, second] = [this.#key(), this.#key()];
    const dice = this.#prng.below(100);
    if (dice < 20 && this.#live.has(first)) return [{ key: first }];
    if (dice < 60 || first === second) return [this.#put(first)];
    if (dice < 75 && this.#live.has(second)) return [this.#put(first), { key: second }];
    return [this.#put(first), this.#put(second)];
  }

  #key(): string {
    return `crash/${this.#id}/${this.#prng.below(KEYS_A_WRITER)}`;
  }

  #put(key: string): Change {
    const padding = this.#prng.chance(0.02) ? "x".repeat(this.#prng.below(LARGE_VALUE_BYTES)) : "";
    return { key, value: `${this.#id}.${this.#serial++}.${padding}` };
  }
}

/** Sends changes as a Put, a DeleteRange or a Txn; the revision they got. */
async function send(client: EtcdClient, changes: readonly Change[]): Promise<number> {
  const [first] = changes as [Change];
  const key = Buffer.from(first.key);
  if (changes.length > 1) {
    const response = await client.call(KV.method.txn, { success: changes.map(requestOp) });
    assert.ok(response.succeeded);
    return Number(response.header?.revision);
  }
  if (first.value !== undefined) {
    const response = await client.call(KV.method.put, { key, value: Buffer.from(first.value) });
    return Number(response.header?.revision);
  }
  const response = await client.call(KV.method.deleteRange, { key });
  assert.equal(response.deleted, 1n, `${first.key} was acknowledged and is not there to be deleted`);
  return Number(response.header?.revision);
}

function requestOp({ key, value }: Change): RequestOp {
  const bytes = Buffer.from(key);
  return create(
    RequestOpSchema,
    value === undefined
      ? { request: { case: "requestDeleteRange", value: { key: bytes } as never } }
      : { request: { case: "requestPut", value: { key: bytes, value: Buffer.from(value) } as never } },
  );
}

/** Finds out whether changes without an answer took effect: the revision they got, or undefined. */
export async function resolveUnknown(
  client: EtcdClient,
  changes: readonly Change[],
): Promise<number | undefined> {
  const put = changes.find(({ value }) => value !== undefined);
  if (put !== undefined) {
    const kv = await readKey(client, put.key, 0);
    return kv !== undefined && Buffer.from(kv.value).toString() === put.value
      ? Number(kv.modRevision)
      : undefined;
  }
  return revisionOfDeletion(client, changes[0].key);
}

/** The revision at which a key that was alive at some time went; undefined if it is still there. */
async function revisionOfDeletion(client: EtcdClient, key: string): Promise<number | undefined> {
  const { header } = await client.call(KV.method.range, { key: Buffer.from(key), serializable: false });
  let absentAt = Number(header?.revision);
  if ((await readKey(client, key, absentAt)) !== undefined) return undefined;
  // Its owner did nothing to it after the deletion, so it is absent from that revision up to now, and just before it is there.
  let step = 1;
  let presentAt = absentAt - step;
  while (presentAt > 1 && (await readKey(client, key, presentAt)) === undefined) {
    absentAt = presentAt;
    step *= 2;
    presentAt = Math.max(1, absentAt - step);
  }
  while (absentAt - presentAt > 1) {
    const middle = (absentAt + presentAt) >>> 1;
    if ((await readKey(client, key, middle)) === undefined) absentAt = middle;
    else presentAt = middle;
  }
  return absentAt;
}

/** A key at a revision (0 = now); undefined if it does not exist there. */
export async function readKey(
  client: EtcdClient,
  key: string,
  revision: number,
): Promise<KeyValue | undefined> {
  const request = { key: Buffer.from(key), revision: BigInt(revision) };
  return (await client.call(KV.method.range, request)).kvs[0];
}
