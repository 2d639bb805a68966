/** Random writes, watches, compactions and readers against a naive history: complete, ordered, unique, whole by revision. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Prng } from "../base/prng.ts";
import { Event_EventType, type Event } from "../proto/gen/kv_pb.ts";
import {
  WatchCreateRequest_FilterType,
  WatchCreateRequestSchema,
  type WatchResponse,
} from "../proto/gen/rpc_pb.ts";
import { RecordType } from "../ring/record-types.ts";
import { type Change, NaiveHistory, type NaiveEvent, covers } from "./testing/naive-history.ts";
import { type HarnessOptions, type Received, WatchHarness } from "./testing/watch-harness.ts";

const KEYS = ["a", "a/1", "a/2", "a/33", "b", "b/1", "b/2", "c", "cc", "d/x", "e"];
const ENDS = [null, null, "", "b", "c", "d", "a/3", "f"];
const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

interface Watched {
  readonly stream: number;
  readonly id: bigint;
  readonly key: string;
  readonly end: string | null;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  /** First revision that was not seen. */
  next: number;
  created: boolean;
  canceled: boolean;
}

class Model {
  readonly harness: WatchHarness;
  readonly history: NaiveHistory;
  readonly prng: Prng;
  readonly watched = new Map<string, Watched>();
  #nextId = 1n;
  responses = 0;
  canceled = 0;

  constructor(options: HarnessOptions) {
    this.harness = new WatchHarness(options);
    this.history = new NaiveHistory(this.harness);
    this.prng = new Prng(options.seed);
  }

  step(): void {
    const { prng, harness, history } = this;
    const choice = prng.below(100);
    if (choice < 45) harness.batch(() => this.#writeSome());
    else if (choice < 55) this.#createOne();
    else if (choice < 59) this.#cancelOne();
    else if (choice < 60) this.#closeOne();
    else if (choice < 65) harness.commit();
    else if (choice < 67 && history.revision > history.compactRevision + 3) this.#compact();
    else if (choice < 68) harness.install(() => this.#writeSome());
    else if (choice < 78) harness.read(prng.below(4));
    else harness.turn();
    this.check();
  }

  #writeSome(): void {
    for (let count = this.prng.below(6); count >= 0; count--) this.history.txn(this.#changes());
  }

  #changes(): Change[] {
    const { prng } = this;
    if (prng.chance(0.2)) return [{ delete: prng.pick(KEYS), end: prng.pick(ENDS) }];
    const keys = new Set(Array.from({ length: 1 + prng.below(4) }, () => prng.pick(KEYS)));
    const long = prng.chance(0.1) ? 20_000 : 20;
    return Array.from(keys, (key) => ({ put: key, value: "v".repeat(prng.below(long)) }));
  }

  #createOne(): void {
    const { prng, history } = this;
    const key = prng.pick(KEYS);
    let end = prng.pick(ENDS);
    if (end !== null && end !== "" && end <= key) end = null;
    const [noPut, noDelete, prevKv] = [prng.chance(0.1), prng.chance(0.1), prng.chance(0.3)];
    const start = prng.chance(0.4) ? 0 : Math.max(1, history.revision + 3 - prng.below(30));
    const stream = prng.below(4);
    const id = this.#nextId++;
    const filters = [
      ...(noPut ? [WatchCreateRequest_FilterType.NOPUT] : []),
      ...(noDelete ? [WatchCreateRequest_FilterType.NODELETE] : []),
    ];
    const request = create(WatchCreateRequestSchema, {
      key: new TextEncoder().encode(key),
      rangeEnd:
        end === null ? new Uint8Array(0) : end === "" ? Uint8Array.of(0) : new TextEncoder().encode(end),
      startRevision: BigInt(start),
      watchId: id,
      filters,
      prevKv,
    });
    this.harness.create(stream, toBinary(WatchCreateRequestSchema, request));
    const next = start === 0 ? history.revision + 1 : start;
    const watched = { stream, id, key, end, noPut, noDelete, prevKv, next, created: false, canceled: false };
    this.watched.set(`${stream}/${id}`, watched);
  }

  #cancelOne(): void {
    const all = [...this.watched.values()];
    if (all.length === 0) return;
    const { stream, id } = this.prng.pick(all);
    this.harness.cancel(stream, id);
    this.harness.batch();
    while (this.harness.turn());
    this.check();
    this.watched.delete(`${stream}/${id}`);
  }

  #closeOne(): void {
    const stream = this.prng.below(4);
    this.harness.request(RecordType.watchClose, stream);
    this.harness.batch();
    while (!this.harness.closed.includes(stream)) this.harness.turn();
    this.harness.closed.length = 0;
    this.check();
    for (const [name, watched] of this.watched) if (watched.stream === stream) this.watched.delete(name);
  }

  #compact(): void {
    const { prng, history, harness } = this;
    const from = Math.max(1, history.compactRevision + 1);
    harness.batch(() => {
      history.compact(from + prng.below(history.revision - from + 1));
      if (prng.chance(0.5)) harness.compactAll();
    });
    if (prng.chance(0.5)) harness.commit();
  }

  /** Looks at everything that was received. */
  check(): void {
    for (const received of this.harness.take()) this.#checkOne(received);
  }

  #checkOne({ stream, headerRevision, response }: Received): void {
    this.responses++;
    const watched = this.watched.get(`${stream}/${response.watchId}`);
    assert.ok(watched !== undefined, `a response for watch ${stream}/${response.watchId} that is not there`);
    if (response.created) {
      assert.equal(watched.created, false);
      watched.created = true;
      return;
    }
    assert.ok(watched.created, "created comes first");
    // The client may still cancel what compaction has cancelled: its id is taken until then.
    const byClient = response.canceled && response.compactRevision === 0n;
    assert.ok(!watched.canceled || byClient, "nothing comes behind a cancel");
    if (response.canceled) {
      watched.canceled = true;
      if (response.compactRevision === 0n) return;
      this.canceled++;
      assert.ok(watched.next < Number(response.compactRevision), "cancelled without need");
      return;
    }
    this.#checkEvents(watched, headerRevision, response);
  }

  #checkEvents(watched: Watched, headerRevision: number, response: WatchResponse): void {
    const got = response.events;
    assert.ok(got.length > 0, "a response without events");
    const last = Number((got.at(-1) as Event).kv?.modRevision);
    assert.ok(headerRevision >= last, `header ${headerRevision} below ${last}`);
    const expected = this.#wanted(watched, last);
    assert.equal(got.length, expected.length, `events of ${watched.stream}/${watched.id} up to ${last}`);
    for (const [i, event] of expected.entries()) this.#checkEvent(watched, got[i], event);
    watched.next = last + 1;
  }

  #wanted(watched: Watched, last: number): NaiveEvent[] {
    return this.history.events.filter(
      ({ revision, key, type }) =>
        revision >= watched.next &&
        revision <= last &&
        covers(watched.key, watched.end, key) &&
        !(type === "put" ? watched.noPut : watched.noDelete),
    );
  }

  #checkEvent(watched: Watched, event: Event, wanted: NaiveEvent): void {
    assert.equal(Number(event.kv?.modRevision), wanted.revision);
    assert.equal(text(event.kv?.key), wanted.key);
    assert.equal(event.type === Event_EventType.DELETE ? "delete" : "put", wanted.type);
    assert.equal(text(event.kv?.value), wanted.value);
    assert.equal(Number(event.kv?.createRevision), wanted.created);
    assert.equal(Number(event.kv?.version), wanted.version);
    if (event.prevKv === undefined) {
      const mayLack = wanted.previous === null || wanted.revision - 1 < this.history.compactRevision;
      assert.ok(!watched.prevKv || mayLack, `event ${wanted.revision} of ${wanted.key} lacks prev_kv`);
      return;
    }
    assert.ok(watched.prevKv && wanted.previous !== null, "prev_kv that nobody wants");
    assert.equal(Number(event.prevKv.modRevision), wanted.previous.revision);
    assert.equal(text(event.prevKv.value), wanted.previous.value);
  }

  /** Everybody reads until nothing moves: then everybody has everything. */
  finish(): void {
    const { harness, history } = this;
    for (let round = 0; round < 200; round++) {
      for (let stream = 0; stream < 4; stream++) harness.read(stream);
      harness.batch();
      harness.commit();
      harness.settle();
      this.check();
    }
    for (const watched of this.watched.values()) {
      if (watched.canceled) continue;
      assert.deepEqual(this.#wanted(watched, history.revision), [], `watch ${watched.stream}/${watched.id}`);
    }
    assert.equal(harness.loop.stats.behind, 0);
  }
}

function run(options: HarnessOptions, steps: number): Model {
  const model = new Model(options);
  try {
    for (let i = 0; i < steps; i++) model.step();
    model.finish();
  } catch (error) {
    throw new Error(`seed ${options.seed}`, { cause: error });
  }
  return model;
}

const SEEDS = Number(process.env["WATCH_SEEDS"] ?? 8);
const STEPS = 300;

for (const [name, options] of [
  ["with a database", {}],
  ["in memory", { inMemory: true }],
  ["when events do not fit into the ring", { eventRingBytes: 32 * 1024 }],
] as const) {
  test(`random watches ${name} see what happened`, () => {
    let responses = 0;
    let canceled = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const model = run({ seed, ...options }, STEPS);
      responses += model.responses;
      canceled += model.canceled;
    }
    assert.ok(responses > 1000 && canceled > 0, `${responses} responses, ${canceled} cancels`);
  });
}
