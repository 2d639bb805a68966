/**
 * Damage is found and named, and never made worse: a torn end of the WAL is repaired; anything else ends the start with the
 * file and the place, an exit code that is not 0, and the data as it was.
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  closeSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { KV } from "../../src/proto/gen/rpc_pb.ts";
import { testsOurMember } from "../support/binaries.ts";
import { withClient } from "../support/etcd-client.ts";
import { folderHash } from "../support/folder-hash.ts";
import { launchMember, startMember, type Member, type MemberOptions } from "../support/member.ts";
import { cannotMount, resizeDisk, smallDisk } from "../support/small-disk.ts";
import { memoryDir } from "../support/temp-dir.ts";
import { walFrames, walSegments } from "./wal-file.ts";

const KEYS = 200;
// Spans many 512-byte sectors: a write that was torn has sectors that are still zero.
const LARGE_VALUE_BYTES = 20_000;
const MEGABYTE = 1_000_000;
// etcd's segments are cut at 64 MB; three of them.
const MEGABYTES_FOR_THREE_SEGMENTS = 140;
const TEST_MS = 60_000;
const isRoot = process.getuid?.() === 0;
const DATABASE = "member/snap/db";
// Taken and left by whoever opens the folder.
const LOCK_FILES = /lock/;

const oursOnly = testsOurMember() ? false : "etcd's own answers to damage differ";

describe("damage", { concurrency: 2 }, () => {
  for (const [name, tear] of [
    ["unwritten sectors", tearSectors],
    ["a file that ends too early", tearFile],
  ] as const) {
    test(`a torn end of the WAL is repaired: ${name}`, { timeout: TEST_MS }, async (t) => {
      const dataDir = memoryDir(t);
      await fillAndKill(t, dataDir);
      tear(walSegments(dataDir).at(-1) as string);
      const member = await startMember(t, { dataDir });
      await assertKeys(member, KEYS);
      await member.kill();
      await assertKeys(await startMember(t, { dataDir }), KEYS);
    });
  }

  test(
    "a flipped bit in the middle of the WAL is refused",
    { timeout: TEST_MS, skip: oursOnly },
    async (t) => {
      const dataDir = memoryDir(t);
      await fillAndKill(t, dataDir);
      const segment = walSegments(dataDir).at(-1) as string;
      const frames = walFrames(segment);
      const frame = frames[frames.length >>> 1] as { start: number; end: number };
      flipBit(segment, frame.end - 12);
      const log = await assertRefused(t, { dataDir }, segment);
      const place = /at byte (\d+)/.exec(log);
      assert.equal(Number(place?.[1]), frame.start, `the place is the frame at byte ${frame.start}\n${log}`);
    },
  );

  test(
    "a missing WAL segment is refused, in the middle and at the end",
    { timeout: TEST_MS, skip: oursOnly },
    async (t) => {
      const dataDir = memoryDir(t);
      const member = await startMember(t, { dataDir });
      await putLarge(member, MEGABYTES_FOR_THREE_SEGMENTS);
      await member.kill();
      const segments = walSegments(dataDir);
      assert.equal(segments.length, 3);
      const elsewhere = join(memoryDir(t), "segment");
      for (const segment of segments.slice(1)) {
        renameSync(segment, elsewhere);
        // Which file the message names, that before the gap or that behind it, is open; the folder is in both.
        await assertRefused(t, { dataDir }, dirname(segment));
        renameSync(elsewhere, segment);
      }
    },
  );

  test("a truncated database file is refused", { timeout: TEST_MS, skip: oursOnly }, async (t) => {
    const dataDir = memoryDir(t);
    await fillAndStop(t, dataDir);
    const database = join(dataDir, DATABASE);
    truncateSync(database, statSync(database).size >>> 1);
    await assertRefused(t, { dataDir }, database);
  });

  test(
    "a read-only data directory is refused",
    { timeout: TEST_MS, skip: oursOnly || (isRoot && cannotMount()) },
    async (t) => {
      const dataDir = memoryDir(t);
      await fillAndStop(t, dataDir);
      if (!isRoot) for (const path of [dataDir, join(dataDir, "member")]) chmodSync(path, 0o500);
      await assertRefused(t, { dataDir, wrapper: isRoot ? readOnlyMount(dataDir) : [] }, dataDir);
      if (!isRoot) for (const path of [dataDir, join(dataDir, "member")]) chmodSync(path, 0o700);
      await assertKeys(await startMember(t, { dataDir }), KEYS);
    },
  );

  test("a disk too full for a new WAL is refused", { timeout: TEST_MS, skip: oursOnly }, async (t) => {
    const wrapper = ["prlimit", `--fsize=${16 * MEGABYTE}`];
    const member = await launchMember(t, { dataDir: memoryDir(t), wrapper });
    await assertEndsNaming(member, "member/");
  });

  test(
    "a disk that fills up ends the member; what was acknowledged is there when there is room",
    {
      timeout: TEST_MS,
      skip: oursOnly || cannotMount(),
    },
    async (t) => {
      const dataDir = smallDisk(t, 150);
      const member = await startMember(t, { dataDir });
      await assertKeys(member, 0);
      const acknowledged = await putLarge(member, 1000);
      await assertEndsNaming(member, dataDir);
      resizeDisk(dataDir, 1000);
      const again = await startMember(t, { dataDir });
      await assertLarge(again, acknowledged);
    },
  );
});

/** Puts KEYS small keys and a large one last, and kills the member. */
async function fillAndKill(t: TestContext, dataDir: string): Promise<void> {
  const member = await startMember(t, { dataDir });
  await putKeys(member);
  await member.kill();
}

async function fillAndStop(t: TestContext, dataDir: string): Promise<void> {
  const member = await startMember(t, { dataDir });
  await putKeys(member);
  await member.stop();
}

async function putKeys(member: Member): Promise<void> {
  await withClient(member, async (client) => {
    const put = (key: string, value: Buffer) => client.call(KV.method.put, { key: Buffer.from(key), value });
    await Promise.all(Array.from({ length: KEYS }, (_, i) => put(`key/${i}`, Buffer.from(`value ${i}`))));
    await put("large", Buffer.alloc(LARGE_VALUE_BYTES, "L"));
  });
}

async function assertKeys(member: Member, count: number): Promise<void> {
  await withClient(member, async (client) => {
    const range = { key: Buffer.from("key/"), rangeEnd: Buffer.from("key0") };
    const { kvs } = await client.call(KV.method.range, range);
    assert.equal(kvs.length, count);
    for (const kv of kvs)
      assert.equal(Buffer.from(kv.value).toString(), `value ${Buffer.from(kv.key).toString().slice(4)}`);
  });
}

/** Puts keys of 1 MB until they are `count` or the member is gone. Returns how many were acknowledged. */
async function putLarge(member: Member, count: number): Promise<number> {
  return withClient(member, async (client) => {
    for (let i = 0; i < count; i++) {
      try {
        await client.call(KV.method.put, {
          key: Buffer.from(`large/${i}`),
          value: Buffer.alloc(MEGABYTE, i),
        });
      } catch {
        return i;
      }
    }
    return count;
  });
}

async function assertLarge(member: Member, count: number): Promise<void> {
  assert.ok(count > 0, "nothing was acknowledged");
  await withClient(member, async (client) => {
    for (let i = 0; i < count; i++) {
      const { kvs } = await client.call(KV.method.range, { key: Buffer.from(`large/${i}`) });
      assert.ok(kvs[0] !== undefined && Buffer.alloc(MEGABYTE, i).equals(kvs[0].value), `large/${i}`);
    }
  });
}

/** Starts a member on damaged data: it must end, name `path`, and leave everything as it was. Returns its log. */
async function assertRefused(t: TestContext, options: MemberOptions, path: string): Promise<string> {
  const before = folderHash(options.dataDir, LOCK_FILES);
  const member = await launchMember(t, options);
  await assertEndsNaming(member, path);
  assert.equal(folderHash(options.dataDir, LOCK_FILES), before, "the refused start changed the data");
  return member.log;
}

async function assertEndsNaming(member: Member, path: string): Promise<void> {
  const { code, signal } = await member.ended();
  assert.ok(
    code !== null && code !== 0,
    `ended with code ${code}, signal ${signal}\n${member.log.slice(-3000)}`,
  );
  assert.ok(member.log.includes(path), `${path} is not named in\n${member.log.slice(-3000)}`);
}

/** Writes the first half of a record behind the last one, as a crash leaves it: the sectors behind are zero still. */
function tearSectors(segment: string): void {
  const { start, end } = largestFrame(segment);
  const half = readFileSync(segment).subarray(start, start + ((end - start) >>> 1));
  writeAt(segment, (walFrames(segment).at(-1) as { end: number }).end, half);
}

/** The same, in a file that was not preallocated. */
function tearFile(segment: string): void {
  const { start, end } = largestFrame(segment);
  const tail = (walFrames(segment).at(-1) as { end: number }).end;
  const half = readFileSync(segment).subarray(start, start + ((end - start) >>> 1));
  truncateSync(segment, tail);
  writeAt(segment, tail, half);
}

function largestFrame(segment: string): { start: number; end: number } {
  return walFrames(segment).reduce((a, b) => (b.end - b.start > a.end - a.start ? b : a));
}

function flipBit(path: string, at: number): void {
  writeAt(path, at, Buffer.of(readFileSync(path)[at] ^ 0x10));
}

function writeAt(path: string, at: number, bytes: Uint8Array): void {
  const fd = openSync(path, "r+");
  writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
}

/** Runs a program in a mount namespace of its own, where the folder is read-only: root may write to anything else. */
function readOnlyMount(folder: string): string[] {
  const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", script, folder];
}
