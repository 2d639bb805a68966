/**
 * The WAL against crashes and damage. Random batches, then power failure in the middle of a write, or bytes cut, flipped or
 * zeroed at a random place. Reopening must give every entry that was acknowledged, or an error that names file and offset: never a
 * shorter log without a word. `SEED=n` repeats a run, `WAL_FUZZ_SECONDS=n` makes it longer.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../src/base/prng.ts";
import type { EntryBatch } from "../../src/raft/raft.ts";
import { MemoryFileSystem } from "../../src/wal/memory-file-system.ts";
import { WalError } from "../../src/wal/wal-error.ts";
import { createWal, openWal } from "../../src/wal/open-wal.ts";
import type { Wal } from "../../src/wal/wal.ts";
import { SEED } from "../support/seed.ts";

const SECONDS = Number(process.env["WAL_FUZZ_SECONDS"] ?? 1.5);
const DIRECTORY = "/fuzz/wal";

interface Model {
  /** Data of each entry, by index - 1; the first `acknowledged` of them were durable. */
  entries: Uint8Array[];
  acknowledged: number;
  /** Acknowledged before the last flush: what a hard state on disk speaks for. */
  spokenFor: number;
}

function randomData(prng: Prng): Uint8Array {
  const length = prng.chance(0.1) ? prng.below(3000) : prng.below(200);
  const data = new Uint8Array(length);
  // Values full of zero sectors are where etcd's torn-write rule alone would misjudge.
  if (!prng.chance(0.2)) for (let i = 0; i < length; i++) data[i] = prng.below(256);
  return data;
}

async function writeBatches(
  wal: Wal,
  prng: Prng,
  model: Model,
  term: number,
  batches: number,
): Promise<void> {
  for (let batch = 0; batch < batches; batch++) {
    const count = 1 + prng.below(8);
    for (let i = 0; i < count; i++) {
      const data = randomData(prng);
      model.entries.push(data);
      wal.appendEntry(0, term, model.entries.length, data, 0, data.length);
    }
    wal.appendHardState({ term, vote: 1n, commit: model.acknowledged });
    wal.recycle(await wal.flush());
    model.spokenFor = model.acknowledged;
    model.acknowledged = model.entries.length;
  }
}

/** Reads the log back and returns how many entries it holds; each must be the one written. */
function checkContents(batches: readonly EntryBatch[], model: Model): number {
  let index = 0;
  for (const batch of batches) {
    assert.equal(batch.firstIndex, index + 1);
    for (let i = 0; i < batch.count; i++) {
      const data = batch.bytes.subarray(batch.dataStart(i), batch.dataEnd(i));
      assert.equal(Buffer.compare(data, model.entries[index]), 0, `entry ${index + 1} differs`);
      index++;
    }
  }
  return index;
}

function damage(bytes: Uint8Array, prng: Prng, used: number): { bytes: Uint8Array; what: string } {
  const at = prng.below(used);
  const kind = prng.below(3);
  if (kind === 0) return { bytes: bytes.slice(0, at), what: `cut at ${at}` };
  const changed = bytes.slice();
  if (kind === 1) {
    changed[at] = changed[at] ^ (1 << prng.below(8));
    return { bytes: changed, what: `bit flipped at ${at}` };
  }
  const length = 1 + prng.below(1500);
  changed.fill(0, at, at + length);
  return { bytes: changed, what: `${length} bytes zeroed at ${at}` };
}

function lastUsedByte(bytes: Uint8Array): number {
  let used = bytes.length;
  while (used > 0 && bytes[used - 1] === 0) used--;
  return used;
}

function isNamedError(error: unknown): boolean {
  return error instanceof WalError && error.message.includes(DIRECTORY) && !error.message.includes("cannot");
}

async function damageRound(seed: number): Promise<string> {
  const prng = new Prng(seed);
  const fileSystem = new MemoryFileSystem();
  const options = { fileSystem, segmentBytes: 16_384 };
  const model: Model = { entries: [], acknowledged: 0, spokenFor: 0 };
  const wal = await createWal(DIRECTORY, { nodeId: 1n, clusterId: 2n }, options);
  await writeBatches(wal, prng, model, 1, 2 + prng.below(20));
  const lastBatchAt = await writeLastBatch(wal, fileSystem, prng, model);
  const isClosed = prng.chance(0.5);
  let provenUpTo = lastBatchAt;
  if (isClosed) {
    provenUpTo = usedBytes(fileSystem);
    wal.appendHardState({ term: 1, vote: 1n, commit: model.acknowledged });
    await wal.close();
    model.spokenFor = model.acknowledged;
  }
  const paths = fileSystem
    .list(DIRECTORY)
    .filter((name) => name.endsWith(".wal"))
    .map((name) => `${DIRECTORY}/${name}`);
  const target = prng.pick(paths);
  const before = fileSystem.contents(target);
  const damaged = damage(before, prng, lastUsedByte(before));
  fileSystem.overwrite(target, damaged.bytes);
  const files = new Map(paths.map((name) => [name, fileSystem.contents(name)]));
  try {
    const { wal: again, contents } = await openWal(DIRECTORY, 0, options);
    const held = checkContents(contents.entries, model);
    // The hard state that speaks for the entries before the last write counts only together with the record before it.
    const isStrict =
      !damaged.what.startsWith("cut") &&
      (target !== lastSegment(fileSystem) || damageEnd(damaged.what) < provenUpTo - 64);
    const promised = isStrict ? model.spokenFor : Math.min(model.spokenFor, contents.hardState.commit);
    assert.ok(
      held >= promised,
      `${damaged.what} in ${target}: only ${held} of ${promised} entries, no error`,
    );
    if (isStrict && held < model.acknowledged)
      assert.notEqual(contents.repaired, null, `${damaged.what} in ${target}`);
    await writeBatches(again, prng, { ...model, entries: model.entries.slice(0, held) }, 2, 2);
    await again.close();
    assert.equal((await openWal(DIRECTORY, 0, options)).contents.repaired, null, "a repaired log is clean");
    return held < model.acknowledged ? "repaired" : "whole";
  } catch (error) {
    if (!isNamedError(error)) throw error;
    for (const [name, bytes] of files)
      assert.deepEqual(fileSystem.contents(name), bytes, "an error leaves the files alone");
    return "refused";
  }
}

/** Offset behind the last changed byte. */
function damageEnd(what: string): number {
  const numbers = what.match(/\d+/g)?.map(Number) as number[];
  return numbers.reduce((sum, value) => sum + value, 1);
}

function lastSegment(fileSystem: MemoryFileSystem): string {
  const names = fileSystem.list(DIRECTORY).filter((name) => name.endsWith(".wal"));
  return `${DIRECTORY}/${names.toSorted().at(-1)}`;
}

function usedBytes(fileSystem: MemoryFileSystem): number {
  return lastUsedByte(fileSystem.contents(lastSegment(fileSystem)));
}

/** Writes one more batch; returns where it begins in the segment it went to. */
async function writeLastBatch(
  wal: Wal,
  fileSystem: MemoryFileSystem,
  prng: Prng,
  model: Model,
): Promise<number> {
  const segment = lastSegment(fileSystem);
  const used = usedBytes(fileSystem);
  await writeBatches(wal, prng, model, 1, 1);
  return segment === lastSegment(fileSystem) ? used : 0;
}

async function crashRound(seed: number): Promise<string> {
  const prng = new Prng(seed);
  const fileSystem = new MemoryFileSystem();
  const options = { fileSystem, segmentBytes: 16_384 };
  const model: Model = { entries: [], acknowledged: 0, spokenFor: 0 };
  const wal = await createWal(DIRECTORY, { nodeId: 1n, clusterId: 2n }, options);
  await writeBatches(wal, prng, model, 1, prng.below(20));
  // One more batch, and the power fails while it is under way.
  const entries = 1 + prng.below(20);
  for (let i = 0; i < entries; i++) {
    const data = randomData(prng);
    model.entries.push(data);
    wal.appendEntry(0, 1, model.entries.length, data, 0, data.length);
  }
  wal.appendHardState({ term: 1, vote: 1n, commit: model.acknowledged });
  const reached = Promise.withResolvers<void>();
  fileSystem.beforeWrite = () => {
    reached.resolve();
    return new Promise(() => {});
  };
  void wal.flush();
  await reached.promise;
  fileSystem.beforeWrite = null;
  fileSystem.crash(prng);
  const { contents } = await openWal(DIRECTORY, 0, options);
  const held = checkContents(contents.entries, model);
  assert.ok(
    held >= model.acknowledged,
    `${held} of ${model.acknowledged} acknowledged entries after a crash`,
  );
  return contents.repaired === null ? "clean" : "repaired";
}

async function runFor(seconds: number, round: (seed: number) => Promise<string>): Promise<string> {
  const outcomes = new Map<string, number>();
  const end = performance.now() + seconds * 1000;
  for (let seed = SEED; performance.now() < end; seed++) {
    try {
      const outcome = await round(seed);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    } catch (error) {
      throw new Error(`SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }
  return [...outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(", ");
}

test("a power failure in the middle of a write loses nothing that was acknowledged", async (t) => {
  t.diagnostic(`first seed ${SEED}: ${await runFor(SECONDS, crashRound)}`);
});

test("cut, flipped or zeroed bytes are an error or a repair that loses nothing spoken for", async (t) => {
  t.diagnostic(`first seed ${SEED}: ${await runFor(SECONDS, damageRound)}`);
});
