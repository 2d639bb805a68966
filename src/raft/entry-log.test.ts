import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MemoryFileSystem } from "../wal/memory-file-system.ts";
import { createWal } from "../wal/open-wal.ts";
import type { Wal } from "../wal/wal.ts";
import { EntryLog } from "./entry-log.ts";
import type { EntrySlice } from "./raft.ts";

const CONF_STATE = { voters: [1n], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };

interface Fixture {
  readonly log: EntryLog;
  readonly wal: Wal;
  readonly fileSystem: MemoryFileSystem;
}

async function newLog(): Promise<Fixture> {
  const fileSystem = new MemoryFileSystem();
  const options = { fileSystem, segmentBytes: 1 << 20 };
  const wal = await createWal("/wal", { nodeId: 1n, clusterId: 1n }, options);
  const log = new EntryLog({ storage: wal, recovered: [], lastIndex: 0, appliedIndex: 0, appliedTerm: 0 });
  return { log, wal, fileSystem };
}

function append(log: EntryLog, term: number, index: number, text: string): void {
  const bytes = new TextEncoder().encode(text);
  log.appendEntry(0, term, index, bytes, 0, bytes.length);
}

async function flush({ log }: Fixture): Promise<void> {
  log.flushed(await log.flush());
}

/** Entries as `term/index data`. */
function show(slices: readonly EntrySlice[]): string[] {
  return slices.flatMap(({ batch, from, count }) =>
    Array.from({ length: count }, (_, at) => {
      const i = from + at;
      const data = new TextDecoder().decode(batch.bytes.subarray(batch.dataStart(i), batch.dataEnd(i)));
      return `${batch.term(i)}/${batch.firstIndex + i} ${data}`;
    }),
  );
}

describe("entry log", () => {
  test("entries are read where they are: merged, stored, in flight, open", async () => {
    const fixture = await newLog();
    const { log } = fixture;
    for (let index = 1; index <= 4; index++) {
      append(log, 1, index, `e${index}`);
      await flush(fixture);
    }
    log.handed(2);
    assert.equal(log.compact(0, 0), false);
    append(log, 1, 5, "e5");
    const flight = log.flush();
    append(log, 1, 6, "e6");
    const all = ["1/1 e1", "1/2 e2", "1/3 e3", "1/4 e4", "1/5 e5", "1/6 e6"];
    assert.deepEqual(show(log.slices(1, 6, Infinity)), all);
    assert.deepEqual(show(log.slices(2, 5, Infinity)), all.slice(1, 5));
    assert.deepEqual(show(log.slices(3, 6, 1)), ["1/3 e3"], "at least one");
    assert.deepEqual(show(log.slices(1, 6, 100)), all.slice(0, 2), "no more than fit, and no gap");
    assert.equal(log.storedIndex, 4);
    log.flushed(await flight);
    assert.equal(log.storedIndex, 5);
  });

  test("a new leader's entries replace stored ones, those in flight and open ones; what is lent stays as it was", async () => {
    const fixture = await newLog();
    const { log } = fixture;
    append(log, 1, 1, "a1");
    append(log, 1, 2, "a2");
    await flush(fixture);
    append(log, 1, 3, "a3");
    const flight = log.flush();
    append(log, 1, 4, "a4");
    append(log, 1, 5, "a5");
    const lent = log.slices(3, 5, Infinity);
    append(log, 2, 4, "b4");
    assert.deepEqual(show(log.slices(1, 4, Infinity)), ["1/1 a1", "1/2 a2", "1/3 a3", "2/4 b4"]);
    append(log, 3, 2, "c2");
    assert.deepEqual(show(lent), ["1/3 a3", "1/4 a4", "1/5 a5"]);
    assert.deepEqual(show(log.slices(1, 2, Infinity)), ["1/1 a1", "3/2 c2"]);
    assert.equal(log.storedIndex, 1);
    log.flushed(await flight);
    assert.equal(log.storedIndex, 1, "what the flush wrote is not in the log any more");
    append(log, 3, 3, "c3");
    await flush(fixture);
    assert.equal(log.storedIndex, 3);
    assert.deepEqual(show(lent), ["1/3 a3", "1/4 a4", "1/5 a5"], "until the loan ends");
    log.endLoan();
    assert.deepEqual(show(log.slices(1, 3, Infinity)), ["1/1 a1", "3/2 c2", "3/3 c3"]);
  });

  test("what is compacted is gone, what followers may need stays, and small batches hold no empty buffers", async () => {
    const fixture = await newLog();
    const { log } = fixture;
    for (let index = 1; index <= 300; index++) {
      append(log, 1, index, `entry ${index}`);
      await flush(fixture);
      log.handed(index);
      log.compact(0, index);
    }
    assert.equal(log.firstIndex, 1);
    // All in one buffer, where each of the 300 batches had one of that size.
    assert.ok(log.retainedBytes <= 256 * 1024, `${log.retainedBytes}`);
    assert.equal(log.waitingBytes, 0);
    assert.equal(show(log.slices(1, 300, Infinity)).length, 300);
    assert.equal(log.compact(250, 300), true);
    assert.equal(log.firstIndex, 251);
    assert.deepEqual(show(log.slices(251, 252, Infinity)), ["1/251 entry 251", "1/252 entry 252"]);
    assert.throws(() => log.slices(250, 251, Infinity), /compacted/);
  });

  test("beyond the byte limit the oldest entries go, but not what storage does not have yet", async () => {
    const fixture = await newLog();
    const { log } = fixture;
    for (let index = 1; index <= 8; index++) {
      append(log, 1, index, "x".repeat(200_000));
      await flush(fixture);
    }
    log.handed(8);
    log.compact(0, 3, 600_000);
    log.compact(0, 3, 600_000);
    assert.equal(log.firstIndex, 4, "storage has three");
    log.compact(0, 8, 600_000);
    assert.ok(log.firstIndex > 4 && log.firstIndex <= 8 && log.retainedBytes <= 600_000);
  });

  test("a snapshot takes the place of everything, in the middle of a flush too", async () => {
    const fixture = await newLog();
    const { log, wal } = fixture;
    append(log, 1, 1, "a1");
    const flight = log.flush();
    append(log, 1, 2, "a2");
    log.startAfter({ index: 100, term: 5, confState: CONF_STATE });
    append(log, 5, 101, "b101");
    assert.equal(log.firstIndex, 101);
    assert.deepEqual(show(log.slices(101, 101, Infinity)), ["5/101 b101"]);
    log.flushed(await flight);
    assert.equal(log.storedIndex, 100);
    await flush(fixture);
    assert.equal(log.storedIndex, 101);
    assert.equal(wal.durableIndex, 101);
    assert.equal(log.terms.termAt(100), 5);
  });
});
