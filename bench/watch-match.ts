/**
 * One change against what is watched: finding the interests, and fan-out into the ring.
 * Run: node bench/watch-match.ts
 */
import type { WatchAnswers } from "../src/apply/watch-answers.ts";
import { WatchedSink, WatchFeed } from "../src/apply/watch-feed.ts";
import { Prng } from "../src/base/prng.ts";
import { createMvccStore } from "../src/mvcc/mvcc.ts";
import { createRingMemory, SharedRingReader, SharedRingWriter } from "../src/ring/shared-ring.ts";
import { createDoorbellMemory, Doorbell } from "../src/ring/doorbell.ts";
import { RecordType } from "../src/ring/record-types.ts";
import { WATCH_STATE_BYTES } from "../src/watch/watch-state.ts";
import { WatchLoop } from "../src/watch/watch.ts";
import { RangeTable } from "../src/watch/range-table.ts";

const MATCHES = 200_000;
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** CPU time, which other programs on the machine do not lengthen as they do the clock's. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function report(what: string, count: number, ms: number): void {
  process.stdout.write(`${what}: ${((ms * 1e6) / count).toFixed(0)} ns\n`);
}

function benchMatch(what: string, count: number, end: (key: string, i: number) => string | null): void {
  const table = new RangeTable(7);
  for (let i = 0; i < count; i++) {
    const key = `registry/pods/namespace-${i % 97}/pod-${i}`;
    const last = end(key, i);
    table.obtain(encode(key), last === null ? null : encode(last));
  }
  const prng = new Prng(1);
  const keys = Array.from({ length: 1024 }, () => {
    const i = prng.below(count);
    return encode(`registry/pods/namespace-${i % 97}/pod-${i}`);
  });
  const found: number[] = [];
  let matches = 0;
  const startMs = cpuMs();
  for (let i = 0; i < MATCHES; i++) {
    found.length = 0;
    table.match(keys[i & 1023], 0, keys[i & 1023].length, found);
    matches += found.length;
  }
  report(`match against ${count} ${what} (${matches / MATCHES} found)`, MATCHES, cpuMs() - startMs);
}

benchMatch("keys", 50_000, () => null);
benchMatch("prefixes", 50_000, (key) => `${key}0`);
benchMatch("nested ranges", 50_000, (_, i) =>
  i < 3 ? "registry0" : `registry/pods/namespace-${i % 97}/pod-${i}0`,
);

/** Apply's feed, the watch loop and a reader of what main gets, in one thread: `watchers` of one key on 10 streams. */
function benchFanOut(watchers: number, puts: number): void {
  const doorbell = new Doorbell(createDoorbellMemory());
  const ring = (bytes: number): [SharedRingWriter, SharedRingReader] => {
    const memory = createRingMemory(bytes);
    return [new SharedRingWriter(memory, doorbell), new SharedRingReader(memory)];
  };
  const [toWatch, fromApply] = ring(8 << 20);
  const [toMain, inMain] = ring(8 << 20);
  const [toApply, fromWatch] = ring(1 << 20);
  const [credits, fromMain] = ring(1 << 20);
  const state = new Int32Array(new SharedArrayBuffer(WATCH_STATE_BYTES));
  const feed = new WatchFeed({ toWatch, fromWatch, state });
  const nothing = (): void => {};
  const sink = { putRevision: nothing, putTombstone: nothing, deleteRevision: nothing };
  const source = { getRevision: () => undefined };
  const store = createMvccStore({ source, sink: new WatchedSink(sink, feed), valueBytesMax: 64 << 20 });
  feed.attach({ store, answers: {} as WatchAnswers, requestCommit: nothing });
  const loop = new WatchLoop({
    fromApply,
    fromMain,
    fromStorage: null,
    toMain,
    toApply,
    state,
    committed: 1,
    fragmentBytes: 2 << 20,
    progressIntervalMs: 600_000,
    prng: new Prng(1),
  });
  const key = encode("watched/key");
  const value = new Uint8Array(256);
  const create = new Uint8Array([0, 0, 0x0a, key.length, ...key]);
  for (let i = 0; i < watchers; i++) feed.forward(RecordType.watchCreate, i % 10, create, 0, create.length);
  const credit = new Uint8Array(4);
  new DataView(credit.buffer).setInt32(0, 1 << 30, true);
  for (let stream = 0; stream < 10; stream++) credits.write(RecordType.credit, 0, stream, credit, 0, 4);
  feed.endBatch();
  credits.publish();
  for (let i = 0; i < 20; i++) loop.turn(0);
  for (let stream = 0; stream < 10; stream++) credits.write(RecordType.credit, 0, stream, credit, 0, 4);
  credits.publish();
  while (inMain.drain(nothing, 100_000) > 0);
  const startMs = cpuMs();
  for (let i = 0; i < puts; i++) {
    store.beginTxn();
    store.put(key, 0, key.length, value, 0, value.length, 0, 0);
    store.committed(store.endTxn());
    if (i % 16 !== 15) continue;
    feed.endBatch();
    loop.turn(0);
    inMain.drain(nothing, 100_000);
  }
  report(`fan-out to ${watchers} watchers, an event delivered`, puts * watchers, cpuMs() - startMs);
}

benchFanOut(1, 100_000);
benchFanOut(1000, 3_000);
