import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Prng } from "../base/prng.ts";
import { EntryType } from "../raft/raft.ts";
import type { EntryBatch } from "../raft/raft.ts";
import { MemoryFileSystem } from "./memory-file-system.ts";
import { createWal, openWal } from "./open-wal.ts";
import type { Wal } from "./wal.ts";

const METADATA = { nodeId: 1n, clusterId: 2n };
const DIRECTORY = "/wal";
const CONF_STATE = { voters: [1n], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };

function append(wal: Wal, term: number, first: number, last: number): void {
  for (let index = first; index <= last; index++) {
    const bytes = new TextEncoder().encode(`e${index}`);
    wal.appendEntry(EntryType.normal, term, index, bytes, 0, bytes.length);
  }
}

async function flush(wal: Wal): Promise<void> {
  wal.recycle(await wal.flush());
}

function listEntries(batches: readonly EntryBatch[]): string[] {
  return batches.flatMap((batch) =>
    Array.from({ length: batch.count }, (_, i) => `${batch.term(i)}/${batch.firstIndex + i}`),
  );
}

async function newWal() {
  const fileSystem = new MemoryFileSystem();
  const options = { fileSystem, segmentBytes: 1 << 16 };
  return { fileSystem, options, wal: await createWal(DIRECTORY, METADATA, options) };
}

describe("a leader's snapshot in the log", () => {
  test("the log goes on behind it, far ahead of what was there", async () => {
    const { options, wal } = await newWal();
    append(wal, 1, 1, 5);
    await flush(wal);
    append(wal, 1, 6, 7);
    wal.startAfter({ index: 100, term: 3, confState: CONF_STATE });
    append(wal, 3, 101, 102);
    await flush(wal);
    assert.equal(wal.durableIndex, 102);
    await wal.close();
    const { contents } = await openWal(DIRECTORY, 100, options);
    assert.deepEqual(listEntries(contents.entries), ["3/101", "3/102"]);
    assert.equal(contents.afterTerm, 3);
    assert.equal(contents.lastIndex, 102);
    assert.deepEqual(contents.snapshots.at(-1), { index: 100, term: 3, confState: CONF_STATE });
  });

  test("uncommitted entries that contradict it do not come back", async () => {
    const { options, wal } = await newWal();
    append(wal, 2, 1, 60);
    await flush(wal);
    wal.startAfter({ index: 55, term: 3, confState: CONF_STATE });
    await flush(wal);
    await wal.close();
    const { contents } = await openWal(DIRECTORY, 55, options);
    assert.deepEqual(listEntries(contents.entries), []);
    assert.equal(contents.lastIndex, 55);
    assert.equal(contents.afterTerm, 3);
  });

  test("a vote that waited in the open batch is kept, entries in it are not", async () => {
    const { options, wal } = await newWal();
    wal.appendHardState({ term: 7, vote: 9n, commit: 0 });
    append(wal, 7, 1, 3);
    wal.startAfter({ index: 100, term: 7, confState: CONF_STATE });
    await flush(wal);
    await wal.close();
    const { contents } = await openWal(DIRECTORY, 100, options);
    assert.deepEqual(contents.hardState, { term: 7, vote: 9n, commit: 0 });
    assert.deepEqual(listEntries(contents.entries), []);
  });

  test("while a flush is in flight, what that wrote counts as durable no more", async () => {
    const { wal } = await newWal();
    append(wal, 1, 1, 60);
    const flight = wal.flush();
    wal.startAfter({ index: 55, term: 3, confState: CONF_STATE });
    wal.recycle(await flight);
    assert.equal(wal.durableIndex, 55);
    await flush(wal);
    assert.equal(wal.durableIndex, 55);
  });

  test("a crash while its marker is written leaves a log that can be read, with the marker or without", async () => {
    for (let seed = 0; seed < 30; seed++) {
      const { fileSystem, options, wal } = await newWal();
      append(wal, 1, 1, 40);
      await flush(wal);
      append(wal, 1, 41, 60);
      wal.startAfter({ index: 1000, term: 3, confState: CONF_STATE });
      append(wal, 3, 1001, 1030);
      const cut = Promise.withResolvers<never>();
      fileSystem.beforeWrite = () => cut.promise;
      wal.flush().catch(() => {});
      fileSystem.crash(new Prng(seed));
      const { contents } = await openWal(DIRECTORY, 40, options).catch(() =>
        openWal(DIRECTORY, 1000, options),
      );
      assert.ok(contents.lastIndex === 40 || contents.lastIndex >= 1000, `${seed}: ${contents.lastIndex}`);
    }
  });
});

describe("entries before what storage holds", () => {
  test("come first when they are wanted, as far as they are there and touch what follows", async () => {
    const { options, wal } = await newWal();
    append(wal, 1, 1, 10);
    await flush(wal);
    await wal.close();
    const wanted = async (afterIndex: number, keptBefore: number): Promise<string[]> => {
      const { wal: opened, contents } = await openWal(DIRECTORY, afterIndex, { ...options, keptBefore });
      await opened.close();
      return listEntries(contents.entries);
    };
    assert.deepEqual(await wanted(8, 0), ["1/9", "1/10"]);
    assert.deepEqual(await wanted(8, 2), ["1/7", "1/8", "1/9", "1/10"]);
    assert.equal((await wanted(8, 100)).length, 10);
    assert.equal((await wanted(10, 3)).length, 3);
  });

  test("are left out in front of the gap that a snapshot has made", async () => {
    const { options, wal } = await newWal();
    append(wal, 1, 1, 10);
    await flush(wal);
    wal.startAfter({ index: 100, term: 3, confState: CONF_STATE });
    append(wal, 3, 101, 104);
    await flush(wal);
    await wal.close();
    const { contents } = await openWal(DIRECTORY, 102, { ...options, keptBefore: 1000 });
    assert.deepEqual(listEntries(contents.entries), ["3/101", "3/102", "3/103", "3/104"]);
  });
});
