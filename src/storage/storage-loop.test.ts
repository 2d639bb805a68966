import assert from "node:assert/strict";
import { test } from "node:test";

import { MemoryRing } from "../ring/memory-ring.ts";
import { RecordType } from "../ring/record-types.ts";
import type { BackendReader, BackendWriter } from "../mvcc/backend.ts";
import { openMemoryBackend } from "./memory-backend.ts";
import { recover } from "./recover.ts";
import { DirectSink, RingSink } from "./revision-sink.ts";
import { StorageLoop } from "./storage-loop.ts";

const VALUE = new Uint8Array(40).fill(9);

class Setup {
  readonly inbound = new MemoryRing(1 << 20);
  readonly acknowledgements: MemoryRing;
  readonly backend: BackendWriter = openMemoryBackend();
  readonly reader: BackendReader = this.backend.reader();
  readonly sink = new RingSink(this.inbound);
  readonly loop: StorageLoop;
  nowMs = 1000;

  constructor(
    options: { batchIntervalMs?: number; batchOpsMax?: number; acknowledgementBytes?: number } = {},
  ) {
    this.acknowledgements = new MemoryRing(options.acknowledgementBytes ?? 4096);
    this.loop = new StorageLoop({
      backend: this.backend,
      inbound: this.inbound,
      outbound: [this.acknowledgements],
      batchIntervalMs: options.batchIntervalMs ?? 100,
      batchOpsMax: options.batchOpsMax ?? 10_000,
      clock: { monotonicMs: () => this.nowMs, unixMs: () => 0 },
      recovered: { consistentIndex: 0, term: 0, revision: 1 },
    });
  }

  put(main: number, sub = 0): void {
    this.sink.putRevision(main, sub, VALUE, 0, VALUE.length);
  }

  turn(): number {
    this.sink.publish();
    return this.loop.turn(this.nowMs);
  }

  committed(): { index: number; revisions: number } {
    let revisions = 0;
    this.reader.scanRevisions(0, () => ++revisions > 0);
    return { index: recover(this.reader).consistentIndex, revisions };
  }

  /** "index revision token" of every acknowledgement since the last call. */
  acknowledged(): string[] {
    const found: string[] = [];
    this.acknowledgements.drain((type, _flags, index, bytes, start) => {
      assert.equal(type, RecordType.committed);
      const view = new DataView(bytes.buffer, bytes.byteOffset + start);
      found.push(`${index} ${view.getFloat64(0, true)} ${view.getFloat64(8, true)}`);
      assert.ok(view.getFloat64(24, true) <= view.getFloat64(16, true));
    }, 1000);
    return found;
  }
}

test("the first turn acknowledges what the backend held at the start", () => {
  const setup = new Setup();
  setup.turn();
  assert.deepEqual(setup.acknowledged(), ["0 1 0"]);
  setup.turn();
  assert.deepEqual(setup.acknowledged(), []);
});

test("what is pending is committed after the interval, and acknowledged", () => {
  const setup = new Setup();
  assert.equal(setup.turn(), Infinity);
  setup.acknowledged();
  setup.put(2);
  setup.sink.applied(5, 1, 2);
  assert.equal(setup.turn(), 100);
  setup.nowMs += 99;
  assert.equal(setup.turn(), 1);
  assert.deepEqual(setup.committed(), { index: 0, revisions: 0 });
  setup.nowMs += 1;
  assert.equal(setup.turn(), Infinity);
  assert.deepEqual(setup.committed(), { index: 5, revisions: 1 });
  assert.deepEqual(setup.acknowledged(), ["5 2 0"]);
});

test("a batch is full at an entry's end, never inside one", () => {
  const setup = new Setup({ batchOpsMax: 3 });
  for (let main = 2; main < 4; main++) {
    setup.put(main);
    setup.sink.applied(main, 1, main);
  }
  for (let sub = 0; sub < 5; sub++) setup.put(4, sub);
  assert.equal(setup.turn(), Infinity, "the rest of the entry will ring the doorbell");
  setup.acknowledged();
  assert.deepEqual(setup.committed(), { index: 0, revisions: 0 });
  setup.nowMs += 1000;
  assert.equal(setup.turn(), Infinity);
  assert.deepEqual(setup.committed(), { index: 0, revisions: 0 }, "overdue, but inside an entry");
  setup.sink.applied(4, 1, 4);
  setup.turn();
  assert.deepEqual(setup.committed(), { index: 4, revisions: 7 });
  assert.deepEqual(setup.acknowledged(), ["4 4 0"]);
});

test("one drain makes as many commits as the limit asks for", () => {
  const setup = new Setup({ batchOpsMax: 2 });
  for (let main = 2; main < 8; main++) {
    setup.put(main);
    setup.sink.applied(main, 1, main);
  }
  setup.turn();
  assert.equal(setup.loop.stats.commits, 3);
  assert.equal(setup.loop.stats.ops, 6);
  assert.deepEqual(setup.acknowledged(), ["7 7 0"], "the newest says all that the others would");
});

test("a request to commit without a token does not hide a token that waits", () => {
  const setup = new Setup();
  setup.turn();
  setup.acknowledged();
  setup.put(2);
  setup.sink.flush(7);
  setup.sink.flush(0);
  setup.sink.applied(2, 1, 2);
  setup.turn();
  assert.deepEqual(setup.acknowledged(), ["2 2 7"]);
});

test("flush commits at once and its token comes back", () => {
  const setup = new Setup();
  setup.put(2);
  setup.sink.applied(9, 4, 2);
  setup.sink.flush(77);
  assert.equal(setup.turn(), Infinity);
  assert.deepEqual(setup.acknowledged(), ["9 2 77"]);
  setup.sink.flush(78);
  setup.turn();
  assert.deepEqual(setup.acknowledged(), ["9 2 78"], "with nothing to commit, too");
  assert.equal(recover(setup.reader).term, 4);
});

test("entries without changes move the consistent index", () => {
  const setup = new Setup();
  setup.sink.applied(12, 2, 1);
  setup.turn();
  setup.nowMs += 100;
  setup.turn();
  assert.deepEqual(setup.committed(), { index: 12, revisions: 0 });
});

test("deletions by compaction need no entry behind them", () => {
  const setup = new Setup();
  for (let main = 2; main < 10; main++) setup.put(main);
  setup.sink.putTombstone(10, 0, VALUE, 0, 4);
  setup.sink.applied(3, 1, 10);
  setup.sink.flush(1);
  setup.turn();
  for (let main = 2; main < 6; main++) setup.sink.deleteRevision(main, 0, false);
  setup.sink.deleteRevision(10, 0, true);
  assert.equal(setup.turn(), 100);
  setup.nowMs += 100;
  setup.turn();
  assert.deepEqual(setup.committed(), { index: 3, revisions: 4 });
});

test("bucket records and large values arrive as they were", () => {
  const setup = new Setup();
  const large = new Uint8Array(400_000).map((_, i) => i); // more than a quarter of the ring: sent in parts
  setup.sink.putRevision(2, 1, large, 10, large.length);
  setup.sink.put("authUsers", new Uint8Array(300).fill(7), large.subarray(0, 1000));
  setup.sink.put("alarm", Uint8Array.from([8, 1]), new Uint8Array(0));
  setup.sink.put("lease", Uint8Array.from([1]), VALUE);
  setup.sink.delete("lease", Uint8Array.from([1]));
  setup.sink.applied(1, 1, 2);
  setup.sink.flush(1);
  setup.turn();
  assert.deepEqual(setup.reader.getRevision(2, 1, false), large.slice(10));
  assert.deepEqual(setup.reader.get("authUsers", new Uint8Array(300).fill(7)), large.slice(0, 1000));
  assert.equal(setup.reader.entries("alarm").length, 1);
  assert.deepEqual(setup.reader.entries("lease"), []);
});

test("an acknowledgement that found no room is replaced by the next and never waited for", () => {
  const setup = new Setup({ acknowledgementBytes: 256 }); // room for five
  for (let index = 1; index <= 9; index++) {
    setup.sink.applied(index, 1, 1);
    setup.sink.flush(index);
    const sleepMs = setup.turn();
    assert.equal(Number.isFinite(sleepMs), index > 5, `turn ${index} asks for a retry: ${sleepMs}`);
  }
  assert.deepEqual(setup.acknowledged(), ["1 1 1", "2 1 2", "3 1 3", "4 1 4", "5 1 5"]);
  assert.equal(setup.turn(), Infinity);
  assert.deepEqual(setup.acknowledged(), ["9 1 9"]);
});

test("stop commits whole entries", () => {
  const setup = new Setup();
  for (let main = 2; main < 6000; main++) setup.put(main);
  setup.sink.applied(4, 1, 5999);
  setup.sink.publish();
  setup.loop.stop(setup.nowMs);
  assert.deepEqual(setup.committed(), { index: 4, revisions: 5998 });
});

test("stop leaves half an entry to the WAL", () => {
  const setup = new Setup();
  setup.sink.applied(4, 1, 1);
  setup.put(2);
  setup.sink.publish();
  setup.loop.stop(setup.nowMs);
  assert.deepEqual(setup.committed(), { index: 0, revisions: 0 });
});

test("an error of the backend ends the loop with its message", () => {
  const setup = new Setup();
  setup.backend.commit = () => {
    throw new Error("cannot commit to database file /d/db: No space left on device");
  };
  setup.sink.flush(1);
  assert.throws(() => setup.turn(), /cannot commit to database file \/d\/db: No space left/);
});

test("the direct sink commits with every publish that has something to commit", () => {
  const backend = openMemoryBackend();
  const reader = backend.reader();
  const sink = new DirectSink(backend);
  sink.putRevision(2, 0, VALUE, 4, 8);
  sink.putTombstone(3, 0, VALUE, 0, 2);
  sink.put("cluster", Uint8Array.from([1]), VALUE);
  assert.equal(reader.getRevision(2, 0, false), undefined);
  sink.applied(8, 2, 3);
  sink.flush(5);
  sink.publish();
  assert.equal(reader.getRevision(2, 0, false)?.length, 4);
  assert.equal(reader.getRevision(3, 0, true)?.length, 2);
  assert.equal(sink.committedRevision, 3);
  assert.equal(sink.servedToken, 5);
  assert.equal(recover(reader).consistentIndex, 8);
});
