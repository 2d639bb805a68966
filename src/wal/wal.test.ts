import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { describe, test } from "node:test";
import { Prng } from "../base/prng.ts";
import { EntryType } from "../raft/raft.ts";
import type { EntryBatch } from "../raft/raft.ts";
import { MemoryFileSystem } from "./memory-file-system.ts";
import { WalError } from "./wal-error.ts";
import { segmentName } from "./wal-format.ts";
import { walExists } from "./segments.ts";
import { createWal, openWal } from "./open-wal.ts";
import type { Wal, WalOptions } from "./wal.ts";

const METADATA = { nodeId: 0xddd67b312462fd7bn, clusterId: 0x73841b4a9097c907n };
const DIRECTORY = "/data/member/wal";
const CONF_STATE = {
  voters: [METADATA.nodeId],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};
const FIRST_SEGMENT = path.join(DIRECTORY, segmentName(0, 0));

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function append(wal: Wal, index: number, value: string, term = 1): void {
  const bytes = text(`<${value}>`);
  wal.appendEntry(EntryType.normal, term, index, bytes, 1, bytes.length - 1);
}

async function flush(wal: Wal): Promise<void> {
  wal.recycle(await wal.flush());
}

function listEntries(batches: readonly EntryBatch[]): string[] {
  const lines: string[] = [];
  for (const batch of batches) {
    for (let i = 0; i < batch.count; i++) {
      const data = new TextDecoder().decode(batch.bytes.subarray(batch.dataStart(i), batch.dataEnd(i)));
      lines.push(`${batch.term(i)}/${batch.firstIndex + i} ${data}`);
    }
  }
  return lines;
}

function inMemory(more: WalOptions = {}): { fileSystem: MemoryFileSystem; options: WalOptions } {
  const fileSystem = new MemoryFileSystem();
  return { fileSystem, options: { fileSystem, segmentBytes: 4096, ...more } };
}

async function rejectsNaming(run: Promise<unknown>, pattern: RegExp): Promise<void> {
  await assert.rejects(
    run,
    (error: unknown) =>
      (error instanceof WalError && pattern.test(error.message)) || assert.fail(String(error)),
  );
}

describe("files", () => {
  test("a new WAL begins with the bytes that etcd writes", async () => {
    const { fileSystem, options } = inMemory();
    await (await createWal(DIRECTORY, METADATA, options)).close();
    const expected = [
      "0400000000000084 0804100000000000",
      "1f00000000000081 080110ebfac190091a1508fbfa8ba392e69eebdd01108792df84a9e986c27300",
      "0e00000000000082 0805109497e080071a04080010000000",
    ]
      .join("")
      .replaceAll(" ", "");
    const bytes = fileSystem.contents(FIRST_SEGMENT);
    assert.equal(Buffer.from(bytes).toString("hex", 0, expected.length / 2), expected);
    assert.equal(bytes.length, 4096);
    assert.ok(bytes.subarray(expected.length / 2).every((byte) => byte === 0));
  });

  test("founding entries are there as soon as the WAL is, without a flush", async () => {
    const { fileSystem, options } = inMemory();
    const founding = ["one", "two"].map((data) => ({
      type: EntryType.confChange,
      term: 1,
      data: text(data),
    }));
    await createWal(DIRECTORY, METADATA, { ...options, founding });
    fileSystem.crash(new Prng(1));
    const { wal, contents } = await openWal(DIRECTORY, 0, options);
    assert.deepEqual(listEntries(contents.entries), ["1/1 one", "1/2 two"]);
    assert.equal(wal.durableIndex, 2);
  });

  test("a folder that holds something else is refused, and left as it is", async () => {
    const { fileSystem, options } = inMemory();
    fileSystem.open(path.join(DIRECTORY, "notes.txt"), { create: true, write: true, durable: false });
    await rejectsNaming(
      createWal(DIRECTORY, METADATA, options),
      /notes\.txt is no log; .*cannot create a log in.*member\/wal/,
    );
    assert.deepEqual(fileSystem.list(DIRECTORY), ["notes.txt"]);
  });

  test("what a killed process left in the kernel's memory is durable once the WAL is open", async () => {
    const { fileSystem, options } = inMemory();
    const wal = await createWal(DIRECTORY, METADATA, { ...options, unsafeNoFsync: true });
    append(wal, 1, "written and not synced");
    await flush(wal);
    await openWal(DIRECTORY, 0, options);
    assert.deepEqual(fileSystem.trace.slice(-2), [
      `sync ${path.basename(FIRST_SEGMENT)}`,
      "syncDirectory wal",
    ]);
    fileSystem.crash(new Prng(1));
    const { contents } = await openWal(DIRECTORY, 0, options);
    assert.deepEqual(listEntries(contents.entries), ["1/1 written and not synced"]);
  });

  test("entries, hard state and snapshot markers come back, in flat batches above the index asked for", async () => {
    const { options } = inMemory();
    const wal = await createWal(DIRECTORY, METADATA, options);
    for (let index = 1; index <= 5; index++) append(wal, index, `value ${index}`, index < 4 ? 1 : 2);
    wal.appendEntry(EntryType.normal, 2, 6, new Uint8Array(0), 0, 0);
    await flush(wal);
    wal.appendHardState({ term: 2, vote: METADATA.nodeId, commit: 6 });
    wal.appendSnapshot({ index: 3, term: 1, confState: CONF_STATE });
    await flush(wal);
    await wal.close();

    const { wal: again, contents } = await openWal(DIRECTORY, 3, options);
    assert.deepEqual(listEntries(contents.entries), ["2/4 value 4", "2/5 value 5", "2/6 "]);
    assert.deepEqual(contents.metadata, METADATA);
    assert.deepEqual(contents.hardState, { term: 2, vote: METADATA.nodeId, commit: 6 });
    assert.deepEqual(contents.snapshots, [
      { index: 0, term: 0, confState: null },
      { index: 3, term: 1, confState: CONF_STATE },
    ]);
    assert.equal(contents.afterTerm, 1);
    assert.equal(contents.lastIndex, 6);
    append(again, 7, "after the restart", 3);
    await flush(again);
    await again.close();
    const third = await openWal(DIRECTORY, 5, options);
    assert.deepEqual(listEntries(third.contents.entries), ["2/6 ", "3/7 after the restart"]);
  });

  test("a later entry of the same index replaces the earlier one and all behind it, within and across batches", async () => {
    const { options } = inMemory();
    const wal = await createWal(DIRECTORY, METADATA, options);
    for (let index = 1; index <= 4; index++) append(wal, index, "old", 1);
    append(wal, 4, "newer", 2);
    assert.deepEqual([wal.openBatch.firstIndex, wal.openBatch.count], [1, 4]);
    await flush(wal);
    assert.equal(wal.durableIndex, 4);
    append(wal, 2, "newest", 3);
    assert.equal(wal.durableIndex, 1);
    await flush(wal);
    await wal.close();
    const { contents } = await openWal(DIRECTORY, 0, options);
    assert.deepEqual(listEntries(contents.entries), ["1/1 old", "3/2 newest"]);
  });

  test("a segment is cut once it is full, named for its first entry, and carries metadata and hard state", async () => {
    const { fileSystem, options } = inMemory();
    const wal = await createWal(DIRECTORY, METADATA, options);
    wal.appendHardState({ term: 1, vote: METADATA.nodeId, commit: 0 });
    for (let index = 1; index <= 60; index++) {
      append(wal, index, "x".repeat(200));
      await flush(wal);
    }
    await wal.close();
    const names = fileSystem.list(DIRECTORY).toSorted();
    assert.ok(names.length >= 3, names.join());
    assert.match(names[1], /^0000000000000001-00000000000000(?!00)[0-9a-f]{2}\.wal$/);
    const firstOfSecond = Number.parseInt(names[1].slice(17, 33), 16);
    const { wal: again, contents } = await openWal(DIRECTORY, firstOfSecond, options);
    assert.equal(contents.entries[0]?.firstIndex, firstOfSecond + 1);
    assert.deepEqual(contents.hardState, { term: 1, vote: METADATA.nodeId, commit: 0 });
    assert.equal(contents.lastIndex, 60);
    await again.close();
    assert.equal(listEntries((await openWal(DIRECTORY, 0, options)).contents.entries).length, 60);
  });

  test("a new segment's name is durable before its entries are acknowledged", async () => {
    const { fileSystem, options } = inMemory();
    const wal = await createWal(DIRECTORY, METADATA, options);
    append(wal, 1, "x".repeat(5000));
    await flush(wal);
    fileSystem.trace.length = 0;
    append(wal, 2, "in the next segment");
    await flush(wal);
    const named = segmentName(1, 2);
    assert.deepEqual(fileSystem.trace, [
      `sync ${segmentName(0, 0)}`,
      "sync 0.tmp",
      `rename 0.tmp ${named}`,
      "syncDirectory wal",
    ]);
    assert.ok(fileSystem.contents(FIRST_SEGMENT).length >= 5000);
  });

  test("releaseTo deletes segments that hold nothing newer, but keeps as many as asked", async () => {
    const { options } = inMemory({ segmentsKept: 2 });
    const wal = await createWal(DIRECTORY, METADATA, options);
    for (let index = 1; index <= 60; index++) {
      append(wal, index, "x".repeat(400));
      await flush(wal);
    }
    const before = wal.segmentPaths;
    const second = Number.parseInt(path.basename(before[1]).slice(17, 33), 16);
    await wal.releaseTo(second - 1);
    assert.deepEqual(wal.segmentPaths, before, "reading behind second - 1 begins in the first segment");
    await wal.releaseTo(second);
    assert.deepEqual(wal.segmentPaths, before.slice(1));
    await wal.releaseTo(60);
    assert.deepEqual(wal.segmentPaths, before.slice(-2));
    await wal.close();
    await rejectsNaming(
      openWal(DIRECTORY, 3, options),
      /entries 4 to \d+ are missing before the first segment.*\.wal/,
    );
    assert.equal((await openWal(DIRECTORY, 60, options)).contents.lastIndex, 60);
  });

  test("on a real disk: create, append, cut into a prepared segment, reopen", async (t) => {
    const base = fs.mkdtempSync(path.join(os.tmpdir(), "wal-test-"));
    t.after(() => fs.rmSync(base, { recursive: true }));
    const directory = path.join(base, "member", "wal");
    const options = { segmentBytes: 16_384 };
    assert.equal(walExists(directory), false);
    const wal = await createWal(directory, METADATA, options);
    for (let index = 1; index <= 100; index++) {
      append(wal, index, "y".repeat(500));
      await flush(wal);
    }
    await wal.close();
    assert.equal(walExists(directory), true);
    assert.ok(
      fs.readdirSync(directory).every((name) => name.endsWith(".wal")),
      "no temporary file stays",
    );
    assert.equal(fs.statSync(path.join(directory, segmentName(0, 0))).mode & 0o777, 0o600);
    assert.equal(fs.statSync(directory).mode & 0o777, 0o700);
    const { contents } = await openWal(directory, 0, options);
    assert.equal(listEntries(contents.entries).length, 100);
    await rejectsNaming(createWal(directory, METADATA), /a log exists already/);
  });
});

describe("flushing", () => {
  test("the next batch gathers while one is in flight, and a second flush at once is refused", async () => {
    const { fileSystem, options } = inMemory();
    const wal = await createWal(DIRECTORY, METADATA, options);
    const gate = Promise.withResolvers<void>();
    fileSystem.beforeWrite = () => gate.promise;
    append(wal, 1, "first");
    const flushing = wal.flush();
    append(wal, 2, "second");
    assert.equal(wal.isFlushing, true);
    assert.equal(wal.needsFlush, true);
    assert.equal(wal.durableIndex, 0);
    assert.throws(() => wal.flush(), /one flush at a time/);
    gate.resolve();
    const batch = await flushing;
    assert.deepEqual(listEntries([batch]), ["1/1 first"]);
    assert.equal(wal.durableIndex, 1);
    assert.deepEqual(listEntries([await wal.flush()]), ["1/2 second"]);
  });

  test("a small batch is waited for if the caller may block and the disk has been quick lately, and no other", async () => {
    const { fileSystem, options } = inMemory({ now: () => clock.ms });
    const clock = { ms: 0 };
    const wal = await createWal(DIRECTORY, METADATA, { ...options, segmentBytes: 1 << 20 });
    const quick: boolean[] = [];
    let index = 0;
    const put = async (value: string, { mayBlock, tookMs }: { mayBlock: boolean; tookMs: number }) => {
      fileSystem.beforeWrite = () => void (clock.ms += tookMs);
      fileSystem.trace.length = 0;
      append(wal, ++index, value);
      wal.recycle(await wal.flush(mayBlock));
      assert.equal(wal.durableIndex, index);
      quick.push(fileSystem.trace.some((line) => line.startsWith("block")));
    };
    for (let i = 0; i < 16; i++) await put("not known yet", { mayBlock: true, tookMs: 0.2 });
    assert.ok(quick.every((each) => !each));
    await put("waited for", { mayBlock: true, tookMs: 0.2 });
    await put("not allowed", { mayBlock: false, tookMs: 0.2 });
    await put("too large".repeat(500), { mayBlock: true, tookMs: 0.2 });
    await put("the last one waited for", { mayBlock: true, tookMs: 0.2 });
    await put("takes long", { mayBlock: false, tookMs: 1.1 });
    await put("not waited for", { mayBlock: true, tookMs: 0.2 });
    assert.deepEqual(quick.slice(16), [true, false, false, true, false, false]);
    await wal.close();
    const { contents } = await openWal(DIRECTORY, 0, options);
    assert.equal(listEntries(contents.entries).length, index);
  });

  test("a disk that is full when it is waited for fails the flush and everything after it", async () => {
    const { fileSystem, options } = inMemory({ now: () => 0 });
    const wal = await createWal(DIRECTORY, METADATA, { ...options, segmentBytes: 1 << 20 });
    for (let index = 1; index <= 16; index++) {
      append(wal, index, "fits");
      await flush(wal);
    }
    fileSystem.bytesLeft = 10;
    append(wal, 17, "does not");
    await rejectsNaming(wal.flush(true), /cannot write: .* at byte \d+: ENOSPC/);
    assert.ok(fileSystem.trace.some((line) => line.startsWith("block")));
    await rejectsNaming(wal.flush(true), /ENOSPC/);
    assert.equal(wal.durableIndex, 16);
  });

  test("a commit index alone needs no sync; a term or vote does; commit is never written ahead of the disk", async () => {
    const { options } = inMemory();
    const wal = await createWal(DIRECTORY, METADATA, options);
    append(wal, 1, "one");
    wal.appendHardState({ term: 1, vote: 5n, commit: 1 });
    await flush(wal);
    wal.appendHardState({ term: 1, vote: 5n, commit: 1 });
    assert.equal(wal.needsFlush, false);
    assert.ok(wal.pendingBytes > 0);
    wal.appendHardState({ term: 2, vote: 5n, commit: 1 });
    assert.equal(wal.needsFlush, true);
    append(wal, 2, "two");
    wal.appendHardState({ term: 2, vote: 5n, commit: 2 });
    await wal.close();
    assert.equal((await openWal(DIRECTORY, 0, options)).contents.hardState.commit, 1);
  });

  test("a full disk fails the flush and everything after it, naming the file", async () => {
    const { fileSystem, options } = inMemory();
    const wal = await createWal(DIRECTORY, METADATA, options);
    append(wal, 1, "fits");
    await flush(wal);
    fileSystem.bytesLeft = 1000;
    append(wal, 2, "does not fit ".repeat(100));
    await rejectsNaming(
      wal.flush(),
      /cannot write: \/data\/member\/wal\/0{16}-0{16}\.wal at byte \d+: ENOSPC/,
    );
    fileSystem.bytesLeft = 1e9;
    append(wal, 3, "nobody knows what the disk holds");
    await rejectsNaming(wal.flush(), /ENOSPC/);
    assert.equal(wal.durableIndex, 1);
    const { contents } = await openWal(DIRECTORY, 0, options);
    assert.deepEqual(listEntries(contents.entries), ["1/1 fits"]);
    assert.notEqual(contents.repaired, null);
  });

  test("a read-only disk is an error that names the file; reading it changed nothing", async () => {
    const { fileSystem, options } = inMemory();
    const wal = await createWal(DIRECTORY, METADATA, options);
    append(wal, 1, "one");
    await wal.close();
    const before = fileSystem.contents(FIRST_SEGMENT);
    fileSystem.readOnly = true;
    await rejectsNaming(openWal(DIRECTORY, 0, options), /cannot open for writing.*\.wal: EROFS/);
    assert.deepEqual(fileSystem.contents(FIRST_SEGMENT), before);
  });
});

describe("damage", () => {
  /** Ten flushed entries over some segments; each batch carries the commit index that was durable before it. */
  async function writtenLog(
    segmentBytes = 2048,
  ): Promise<{ fileSystem: MemoryFileSystem; options: WalOptions; paths: string[] }> {
    const { fileSystem, options } = inMemory({ segmentBytes });
    const wal = await createWal(DIRECTORY, METADATA, options);
    for (let index = 1; index <= 10; index++) {
      append(wal, index, `${index}`.repeat(500).slice(0, 500));
      wal.appendHardState({ term: 1, vote: 0n, commit: index - 1 });
      await flush(wal);
    }
    await wal.close();
    return { fileSystem, options, paths: wal.segmentPaths };
  }

  async function change(
    at: number,
    segment: number,
    edit: (bytes: Uint8Array, at: number) => Uint8Array | void,
  ) {
    const written = await writtenLog();
    const target = written.paths.at(segment) as string;
    const bytes = written.fileSystem.contents(target);
    written.fileSystem.overwrite(target, edit(bytes, at) ?? bytes);
    return { ...written, target, before: written.fileSystem.contents(target) };
  }

  const flip = (bytes: Uint8Array, at: number): void => {
    bytes[at] = bytes[at] ^ 0x10;
  };

  test("a flipped bit in an earlier segment is refused with file and offset, and nothing is touched", async () => {
    const { fileSystem, options, target, before } = await change(700, 0, flip);
    await rejectsNaming(
      openWal(DIRECTORY, 0, options),
      /checksum mismatch; the log goes on .*0{16}-0{16}\.wal at byte \d+$/,
    );
    assert.deepEqual(fileSystem.contents(target), before);
    assert.equal(
      fileSystem.list(DIRECTORY).some((name) => name.endsWith(".broken")),
      false,
    );
  });

  test("a flipped length field that points beyond the file is refused when later records prove the loss", async () => {
    const { options, paths } = await writtenLog();
    const { fileSystem } = options as { fileSystem: MemoryFileSystem };
    const bytes = fileSystem.contents(paths.at(-1) as string);
    const firstEntry = Buffer.from(bytes).indexOf(Buffer.from([0x08, 2, 0x10])) - 8;
    bytes[firstEntry + 3] = 0x40;
    fileSystem.overwrite(paths.at(-1) as string, bytes);
    await rejectsNaming(
      openWal(DIRECTORY, 0, options),
      new RegExp(`beyond the end of the file.* at byte ${firstEntry}`),
    );
  });

  test("zeroed records in the middle, which etcd takes for the end of the log, are refused", async () => {
    const { fileSystem, options, paths } = await writtenLog(16_384);
    const bytes = fileSystem.contents(paths[0]);
    fileSystem.overwrite(paths[0], bytes.fill(0, 1024, 2048));
    await rejectsNaming(openWal(DIRECTORY, 0, options), /were durable and are damaged/);
  });

  test("a missing segment is refused by name", async () => {
    const { fileSystem, options, paths } = await writtenLog();
    await fileSystem.remove(paths[1]);
    await rejectsNaming(
      openWal(DIRECTORY, 0, options),
      /segment \/data\/member\/wal\/0000000000000001-\*\.wal is missing between/,
    );
  });

  test("a segment of another log is refused", async () => {
    const { fileSystem, options, paths } = await writtenLog();
    const other = { ...options, fileSystem: new MemoryFileSystem() };
    const wal = await createWal(DIRECTORY, { ...METADATA, clusterId: 1n }, other);
    await wal.close();
    fileSystem.overwrite(paths[1], other.fileSystem.contents(FIRST_SEGMENT));
    await rejectsNaming(openWal(DIRECTORY, 0, options), /0000000000000001-.*at byte \d+/);
  });

  test("a last segment cut within its head is refused: no crash leaves one", async () => {
    const { options } = await change(2, -1, (bytes, at) => bytes.slice(0, at));
    await rejectsNaming(openWal(DIRECTORY, 0, options), /length field cut off.* at byte 0/);
  });

  test("a torn tail is copied to .broken, cut off, and written over", async () => {
    const { fileSystem, options } = inMemory();
    const wal = await createWal(DIRECTORY, METADATA, options);
    append(wal, 1, "acknowledged");
    await flush(wal);
    await wal.close();
    const bytes = fileSystem.contents(FIRST_SEGMENT);
    // The second sector of a batch arrived, the first did not.
    bytes.fill(0x33, 512, 1024);
    fileSystem.overwrite(FIRST_SEGMENT, bytes);
    const lines: string[] = [];
    const { wal: again, contents } = await openWal(DIRECTORY, 0, {
      ...options,
      log: (level, message) => lines.push(`${level} ${message}`),
    });
    assert.deepEqual(listEntries(contents.entries), ["1/1 acknowledged"]);
    assert.match(contents.repaired as string, /data behind the end of the log: .*\.wal at byte \d+/);
    assert.deepEqual(lines, ["warn repairing the log"]);
    assert.deepEqual(fileSystem.contents(`${FIRST_SEGMENT}.broken`), bytes);
    append(again, 2, "next");
    await flush(again);
    await again.close();
    assert.deepEqual(listEntries((await openWal(DIRECTORY, 0, options)).contents.entries), [
      "1/1 acknowledged",
      "1/2 next",
    ]);
  });
});
