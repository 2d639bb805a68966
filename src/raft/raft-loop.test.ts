import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { ErrorId } from "../base/errors.ts";
import { MemoryRing } from "../ring/memory-ring.ts";
import { FLAG_TRACED, RecordType } from "../ring/record-types.ts";
import {
  SpanCode,
  SpanReporter,
  TRACE_CONTEXT_BYTES,
  TRACE_PREFIX_BYTES,
  readSpanRecord,
  writePrefix,
} from "../ring/trace.ts";
import { MemoryFileSystem } from "../wal/memory-file-system.ts";
import { createWal, openWal } from "../wal/open-wal.ts";
import type { Wal } from "../wal/wal.ts";
import { Prng } from "../base/prng.ts";
import { encodeBootstrapEntries } from "./bootstrap.ts";
import { NullNetwork } from "./peer-network.ts";
import { WAITING_PROPOSALS_MAX } from "./proposal-queue.ts";
import type { RaftLoop } from "./raft-loop.ts";
import { UNAPPLIED_BYTES_MAX } from "./raft-loop.ts";
import { RaftTracer } from "./raft-tracer.ts";
import type { EntryBatch } from "./raft.ts";
import type { SnapshotService } from "./snapshot-service.ts";
import { startRaftLoop } from "./start-raft-loop.ts";

const NODE = 0xabcn;
const DIRECTORY = "/data/wal";

const NO_SNAPSHOTS: SnapshotService = {
  create: () => Promise.reject(new Error("no snapshots here")),
  release: () => {},
  install: () => Promise.reject(new Error("no snapshots here")),
};

/** A doorbell that never wakes anybody: the tests pump by hand. */
const SILENT_DOORBELL = { prepareSleep: () => 0, awake: () => {}, sleepAsync: () => new Promise(() => {}) };

interface Member {
  loop: RaftLoop;
  wal: Wal;
  fileSystem: MemoryFileSystem;
  inbox: MemoryRing;
  /** Records of storage and apply. */
  fromWorkers: MemoryRing;
  toApply: MemoryRing;
  toMain: MemoryRing;
  /** What main is told of sampled requests. */
  spans: MemoryRing;
  log: string[];
}

interface StartOptions {
  fileSystem?: MemoryFileSystem;
  applyRingBytes?: number;
  appliedIndex?: number;
  snapshotCount?: number;
  segmentBytes?: number;
  voters?: bigint[];
  /** Called when a flush has ended, and before the loop hears of it. */
  flushEnded?: () => void;
}

async function startMember(options: StartOptions = {}): Promise<Member> {
  const fileSystem = options.fileSystem ?? new MemoryFileSystem();
  const walOptions = { fileSystem, segmentBytes: options.segmentBytes ?? 65_536, segmentsKept: 1 };
  if (options.fileSystem === undefined) {
    const [data] = encodeBootstrapEntries([{ id: NODE, name: "conf", peerUrls: [] }]);
    const founding = [{ type: 1, term: 1, data }];
    const created = await createWal(
      DIRECTORY,
      { nodeId: NODE, clusterId: 1n },
      { ...walOptions, founding, hardState: { term: 1, vote: 0n, commit: 1 } },
    );
    await created.close();
  }
  const appliedIndex = options.appliedIndex ?? 1;
  const { wal, contents } = await openWal(DIRECTORY, appliedIndex, walOptions);
  const rings = {
    inbox: new MemoryRing(1 << 20),
    fromWorkers: new MemoryRing(1 << 16),
    toApply: new MemoryRing(options.applyRingBytes ?? 1 << 20),
    toMain: new MemoryRing(4096),
    spans: new MemoryRing(1 << 16),
  };
  const log: string[] = [];
  const loop = startRaftLoop({
    nodeId: NODE,
    contents: {
      ...contents,
      storage: hearing(wal, () => options.flushEnded?.()),
      appliedTerm: contents.afterTerm,
      snapshotIndex: contents.snapshots.at(-1)?.index ?? 0,
    },
    confState: {
      voters: options.voters ?? (appliedIndex === 0 ? [] : [NODE]),
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    },
    election: { electionTicks: 10, preVote: true, prng: new Prng(1) },
    createNetwork: () => new NullNetwork(),
    snapshots: NO_SNAPSHOTS,
    appliedIndex,
    snapshotCount: options.snapshotCount ?? 10_000,
    catchUpEntries: 5000,
    firstReadNumber: 1,
    tickMs: 100,
    fromMain: rings.inbox,
    fromWorkers: [rings.fromWorkers],
    onRemoved: () => log.push("removed"),
    toApply: rings.toApply,
    toMain: rings.toMain,
    doorbell: SILENT_DOORBELL,
    callAfter: (_milliseconds, callback) => setImmediate(callback),
    yieldToEvents: () => nextTurn(),
    log: (_level, message) => log.push(message),
    tracer: new RaftTracer(new SpanReporter(rings.spans, () => 7, new Prng(2))),
  });
  loop.done.catch(() => {});
  return { loop, wal, fileSystem, ...rings, log };
}

/** The log, which calls back in the moment between the end of a flush and the news of it. */
function hearing(wal: Wal, flushEnded: () => void): Wal {
  return new Proxy(wal, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const method = value.bind(target) as (...args: unknown[]) => unknown;
      if (name !== "flush") return method;
      return async () => {
        const batch = await method();
        flushEnded();
        return batch;
      };
    },
  });
}

/** What a ring's consumer sees, a line a record. */
function take(ring: MemoryRing, recordsMax = 1e6): string[] {
  const lines: string[] = [];
  ring.drain((type, flags, requestId, bytes, start, end) => {
    const name = Object.entries(RecordType).find(([, value]) => value === type)?.[0] ?? "?";
    const traced = (flags & FLAG_TRACED) !== 0;
    const trace = traced
      ? ` traced ${Buffer.from(bytes.subarray(start, start + TRACE_CONTEXT_BYTES))
          .toString("latin1")
          .trim()}`
      : "";
    const at = traced ? start + TRACE_PREFIX_BYTES : start;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const rest = (from: number): string => new TextDecoder().decode(bytes.subarray(from, end));
    if (type === RecordType.entry)
      lines.push(
        `entry ${view.getFloat64(at, true)}/${requestId} type ${view.getUint32(at + 8, true)} ${rest(at + 16)}${trace}`,
      );
    else if (type === RecordType.leader)
      lines.push(
        `leader term ${view.getFloat64(at, true)} ${view.getBigUint64(at + 8, true).toString(16)} ${view.getUint32(at + 16, true)}`,
      );
    else if (type === RecordType.raftStatus)
      lines.push(
        `status commit ${view.getFloat64(at, true)} last ${view.getFloat64(at + 8, true)} term ${view.getFloat64(at + 16, true)}`,
      );
    else if (type === RecordType.error) lines.push(`error ${requestId} ${view.getUint32(at, true)}`);
    else lines.push(`${name} ${requestId} ${rest(at)}${trace}`);
  }, recordsMax);
  return lines;
}

/** A record of apply or storage. */
function tell(member: Member, type: number, requestId: number, payload = new Uint8Array(0)): void {
  assert.ok(member.fromWorkers.write(type, 0, requestId, payload, 0, payload.length), "inbox full");
  member.fromWorkers.publish();
}

function send(member: Member, type: number, requestId: number, payload: string, flags = 0): void {
  const bytes = new TextEncoder().encode(payload);
  assert.ok(member.inbox.write(type, flags, requestId, bytes, 0, bytes.length), "inbox full");
}

/** Lets everything that is under way end: the loop, its flushes and its waits. */
async function settle(member: Member): Promise<void> {
  member.inbox.publish();
  member.loop.pump();
  for (let quiet = 0, turns = 0; quiet < 3; turns++) {
    assert.ok(turns < 10_000, "the loop does not come to rest");
    await nextTurn();
    quiet = member.wal.isFlushing ? 0 : quiet + 1;
  }
}

/** A gate in front of the disk: flushes wait until it is opened. */
function holdDisk(member: Member): () => void {
  const gate = Promise.withResolvers<void>();
  member.fileSystem.beforeWrite = () => gate.promise;
  return () => {
    member.fileSystem.beforeWrite = null;
    gate.resolve();
  };
}

describe("raft loop", () => {
  test("starts as leader, replays what storage does not have, then its own empty entry", async () => {
    const member = await startMember();
    await settle(member);
    assert.deepEqual(take(member.toApply), ["leader term 2 abc 1", "entry 2/2 type 0 "]);
    assert.deepEqual(take(member.toMain).at(-1), "status commit 2 last 2 term 2");
    assert.deepEqual(member.log.slice(-2), [
      "abc became leader at term 2",
      "raft.node: abc elected leader abc at term 2",
    ]);
  });

  test("a proposal reaches apply only after the disk has it; a read goes at once, a later read behind the entry", async () => {
    const member = await startMember();
    await settle(member);
    take(member.toApply);
    take(member.toMain);
    const openDisk = holdDisk(member);
    send(member, RecordType.propose, 100, "put a");
    send(member, RecordType.read, 101, "get a");
    member.inbox.publish();
    member.loop.pump();
    assert.deepEqual(
      take(member.toApply),
      ["read 101 get a"],
      "the put is not committed, so the read need not see it",
    );
    send(member, RecordType.propose, 102, "put b");
    member.inbox.publish();
    member.loop.pump();
    assert.deepEqual(take(member.toApply), []);
    openDisk();
    await settle(member);
    send(member, RecordType.read, 103, "get b");
    await settle(member);
    assert.deepEqual(take(member.toApply), [
      "entry 2/3 type 0 put a",
      "entry 2/4 type 0 put b",
      "read 103 get b",
    ]);
    assert.equal(take(member.toMain).at(-1), "status commit 4 last 4 term 2");
  });

  test("what comes between the end of a flush and the news of it waits for its own flush", async () => {
    let flushEnded = (): void => {};
    const member = await startMember({ flushEnded: () => flushEnded() });
    await settle(member);
    take(member.toApply);
    let openDisk = (): void => {};
    flushEnded = () => {
      flushEnded = () => {};
      openDisk = holdDisk(member);
      send(member, RecordType.propose, 101, "put b");
      member.inbox.publish();
      member.loop.pump();
    };
    send(member, RecordType.propose, 100, "put a");
    member.inbox.publish();
    member.loop.pump();
    for (let turns = 0; turns < 20; turns++) await nextTurn();
    assert.deepEqual(take(member.toApply), ["entry 2/3 type 0 put a"]);
    openDisk();
    await settle(member);
    assert.deepEqual(take(member.toApply), ["entry 2/4 type 0 put b"]);
  });

  test("reads wait for the first commit of the term, and a cancelled one is dropped", async () => {
    const first = await startMember();
    await settle(first);
    await first.loop.stop();
    const openDisk = holdDisk(first);
    const member = await startMember({ fileSystem: first.fileSystem });
    send(member, RecordType.read, 1, "early");
    send(member, RecordType.read, 2, "given up");
    send(member, RecordType.cancel, 2, "");
    member.inbox.publish();
    member.loop.pump();
    assert.deepEqual(take(member.toApply), ["leader term 3 abc 1", "entry 2/2 type 0 "]);
    openDisk();
    await settle(member);
    assert.deepEqual(take(member.toApply), ["entry 3/3 type 0 ", "read 1 early"]);
  });

  test("a full apply ring holds entries and reads back in order, and loses none", async () => {
    const member = await startMember({ applyRingBytes: 1024 });
    await settle(member);
    take(member.toApply);
    const expected: string[] = [];
    for (let i = 0; i < 50; i++) {
      send(member, RecordType.propose, i, `value ${i}`.padEnd(100, "."));
      expected.push(`entry 2/${3 + i} type 0 ${`value ${i}`.padEnd(100, ".")}`);
    }
    await settle(member);
    send(member, RecordType.read, 999, "behind all");
    expected.push("read 999 behind all");
    await settle(member);
    assert.ok(member.loop.handedIndex < 52);
    const seen: string[] = [];
    for (let round = 0; round < 100 && seen.length < expected.length; round++) {
      seen.push(...take(member.toApply, 3));
      await settle(member);
    }
    assert.deepEqual(seen, expected);
  });

  test("an entry longer than a quarter of the ring goes whole", async () => {
    const member = await startMember({ applyRingBytes: 4096 });
    await settle(member);
    take(member.toApply);
    send(member, RecordType.propose, 1, "x".repeat(1500));
    await settle(member);
    assert.deepEqual(take(member.toApply), [`entry 2/3 type 0 ${"x".repeat(1500)}`]);
  });

  /** The prefix of a sampled request's record, sent at 5 ms. */
  function prefix(context: string): string {
    const bytes = new Uint8Array(TRACE_PREFIX_BYTES);
    writePrefix(bytes, 0, Buffer.from(context.padEnd(TRACE_CONTEXT_BYTES)), 5);
    return Buffer.from(bytes).toString("latin1");
  }

  test("a sampled proposal's trace context travels with its entry and is not part of the log", async () => {
    const member = await startMember();
    await settle(member);
    take(member.toApply);
    send(member, RecordType.propose, 1, `${prefix("trace-id-and-span")}put a`, FLAG_TRACED);
    send(member, RecordType.read, 2, `${prefix("read-trace")}get a`, FLAG_TRACED);
    await settle(member);
    assert.deepEqual(take(member.toApply), [
      "read 2 get a traced read-trace",
      "entry 2/3 type 0 put a traced trace-id-and-span",
    ]);
    const spans: string[] = [];
    member.spans.drain((_type, _flags, _id, bytes, start) => {
      const { code, context, startMs, endMs, value } = readSpanRecord(bytes, start);
      spans.push(`${Buffer.from(context).toString("latin1", 0, 10)} ${code} ${startMs}-${endMs} ${value}`);
    }, 100);
    assert.deepEqual(spans, [
      `trace-id-a ${SpanCode.ringMainToRaft} 5-7 0`,
      `read-trace ${SpanCode.ringMainToRaft} 5-7 0`,
      `trace-id-a ${SpanCode.propose} 7-7 3`,
      `trace-id-a ${SpanCode.walFlush} 7-7 3`,
      `trace-id-a ${SpanCode.commit} 7-7 3`,
    ]);
    await member.loop.stop();
    const { contents } = await openWal(DIRECTORY, 2, { fileSystem: member.fileSystem });
    const [batch] = contents.entries as [EntryBatch];
    assert.equal(
      new TextDecoder().decode(batch.bytes.subarray(batch.dataStart(0), batch.dataEnd(0))),
      "put a",
    );
  });

  test("a new member hands over the founding conf change, waits for apply, and then takes leadership and what waited", async () => {
    const member = await startMember({ appliedIndex: 0 });
    send(member, RecordType.propose, 7, "put a");
    send(member, RecordType.propose, 8, "given up");
    send(member, RecordType.cancel, 8, "");
    send(member, RecordType.read, 9, "get a");
    await settle(member);
    const conf = '{"id":2748,"peerURLs":[],"name":"conf"}';
    const [entry, ...rest] = take(member.toApply);
    assert.ok(entry?.startsWith("entry 1/1 type 1") && entry.endsWith(conf), entry);
    assert.deepEqual(rest, []);
    tell(member, RecordType.confChangeResult, 1, Uint8Array.of(1, 0, 0, 0));
    await settle(member);
    assert.deepEqual(take(member.toApply), [
      "leader term 2 0 0",
      "leader term 2 abc 1",
      "entry 2/2 type 0 ",
      "entry 2/3 type 0 put a",
      "read 9 get a",
    ]);
  });

  test("without a leader proposals wait, but not more than the limit", async () => {
    const member = await startMember({ voters: [1n, NODE] });
    for (let i = 0; i < WAITING_PROPOSALS_MAX + 2; i++) {
      if (i % 1000 === 0) await settle(member);
      send(member, RecordType.propose, i, "put a");
    }
    await settle(member);
    const errors = take(member.toMain).filter((line) => line.startsWith("error"));
    assert.deepEqual(errors, [
      `error ${WAITING_PROPOSALS_MAX} ${ErrorId.requestTooManyRequests}`,
      `error ${WAITING_PROPOSALS_MAX + 1} ${ErrorId.requestTooManyRequests}`,
    ]);
  });

  test("the inbox is not drained beyond the bytes that may wait for the disk", async () => {
    const member = await startMember();
    await settle(member);
    const openDisk = holdDisk(member);
    const payload = "y".repeat(200_000);
    let sent = 0;
    for (; sent < 1000; sent++) {
      if (member.inbox.freeBytes() < 250_000) {
        member.inbox.publish();
        member.loop.pump();
        if (member.inbox.freeBytes() < 250_000) break;
      }
      send(member, RecordType.propose, sent, payload);
    }
    assert.ok(
      sent * 200_000 >= UNAPPLIED_BYTES_MAX && sent * 200_000 < UNAPPLIED_BYTES_MAX * 1.5,
      `took ${sent}`,
    );
    assert.ok(member.wal.pendingBytes >= UNAPPLIED_BYTES_MAX);
    openDisk();
    let handed = 0;
    while (handed < sent) {
      handed += take(member.toApply).filter((line) => line.startsWith("entry 2/")).length;
      await settle(member);
      if (member.loop.handedIndex >= sent + 2) break;
    }
    assert.equal(member.loop.handedIndex, sent + 2);
  });

  test("a disk error ends the loop with its cause, and nothing more is acknowledged", async () => {
    const member = await startMember();
    await settle(member);
    take(member.toApply);
    member.fileSystem.beforeWrite = () => {
      throw new Error("EIO: i/o error, write");
    };
    send(member, RecordType.propose, 1, "lost");
    await settle(member);
    await assert.rejects(member.loop.done, /raft thread: wal: cannot write: .*\.wal at byte \d+: EIO/);
    member.fileSystem.beforeWrite = null;
    send(member, RecordType.propose, 2, "also lost");
    send(member, RecordType.read, 3, "not answered");
    await settle(member);
    assert.deepEqual(take(member.toApply), []);
    await assert.rejects(member.loop.stop(), /EIO/);
  });

  test("storage's progress becomes a snapshot marker and frees segments", async () => {
    const member = await startMember({ snapshotCount: 20, segmentBytes: 4096 });
    await settle(member);
    for (let i = 0; i < 60; i++) {
      send(member, RecordType.propose, i, "z".repeat(300));
      await settle(member);
    }
    const before = member.wal.segmentPaths.length;
    assert.ok(before > 3);
    tell(member, RecordType.committed, 19);
    await settle(member);
    assert.equal(member.wal.segmentPaths.length, before, "too early for a marker");
    assert.equal(member.log.includes("saved snapshot to disk"), false);
    tell(member, RecordType.committed, 50);
    await settle(member);
    assert.ok(member.wal.segmentPaths.length < before);
    assert.equal(member.log.filter((message) => message === "saved snapshot to disk").length, 1);
    await member.loop.stop();
    const { contents } = await openWal(DIRECTORY, 50, { fileSystem: member.fileSystem });
    const confState = {
      voters: [NODE],
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    };
    assert.deepEqual(contents.snapshots.at(-1), { index: 50, term: 2, confState });
    assert.equal(contents.hardState.commit, 62);
  });

  test("a restart hands over exactly what storage lacks, and refuses storage that is ahead of the log", async () => {
    const member = await startMember();
    for (const value of ["a", "b", "c"]) send(member, RecordType.propose, 1, value);
    await settle(member);
    await member.loop.stop();
    const { fileSystem } = member;
    const again = await startMember({ fileSystem, appliedIndex: 3 });
    await settle(again);
    assert.deepEqual(take(again.toApply), [
      "leader term 3 abc 1",
      "entry 2/4 type 0 b",
      "entry 2/5 type 0 c",
      "entry 3/6 type 0 ",
    ]);
    await again.loop.stop();
    await assert.rejects(
      startMember({ fileSystem, appliedIndex: 9 }),
      /log ends at index 6, but storage has applied up to 9: entries are lost/,
    );
  });
});
