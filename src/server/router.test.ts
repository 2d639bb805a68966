import { afterEach, test } from "node:test";
import { deepEqual, equal, ok } from "node:assert/strict";
import { ERRORS, ErrorId } from "../base/errors.ts";
import type { Call, ServerTransport } from "../grpc/service.ts";
import { RaftField, RaftRequestView } from "../proto/raft-request.ts";
import { createDoorbellMemory, Doorbell } from "../ring/doorbell.ts";
import { MemoryRing } from "../ring/memory-ring.ts";
import { ReadKind, RecordType } from "../ring/record-types.ts";
import type { RingReader } from "../ring/ring.ts";
import { createRingMemory, readRingStats, SharedRingReader, SharedRingWriter } from "../ring/shared-ring.ts";
import { SILENT_LOGGER } from "../telemetry/logger.ts";
import { STREAM_PENDING_BYTES_MAX, STREAM_WINDOW_BYTES } from "./answer-streams.ts";
import { Router } from "./router.ts";
import { SpaceGuard } from "./space-guard.ts";

class FakeCall implements Call {
  state: unknown = null;
  readonly path = "/test";
  readonly deadlineMs = Infinity;
  readonly remote = "test";
  readonly cancelled = false;
  sent = "";
  status: { code: number; message: string } | null = null;
  waitingBytes = 0;

  metadata(): undefined {
    return undefined;
  }
  sendMessage(bytes: Uint8Array, start: number, end: number): void {
    this.sent += Buffer.from(bytes.subarray(start, end)).toString();
  }
  startMessage(totalBytes: number): void {
    this.sent += `[${totalBytes}]`;
  }
  sendPart(bytes: Uint8Array, start: number, end: number): number {
    this.sendMessage(bytes, start, end);
    return this.waitingBytes;
  }
  pendingBytes(): number {
    return this.waitingBytes;
  }
  end(code: number, message: string): void {
    this.status = { code, message };
  }
}

const FIRST_ID = 0x1234_5678_9a00;
const text = (s: string): Uint8Array => Buffer.from(s);
let routers: Router[] = [];
afterEach(() => {
  for (const router of routers) router.stop();
  routers = [];
});

function setUp(
  options: {
    raftRingBytes?: number;
    requestBytesMax?: number;
    requestTimeoutMs?: number;
    inbox?: RingReader;
  } = {},
) {
  const toRaft = new MemoryRing(options.raftRingBytes ?? 1 << 20);
  const toApply = new MemoryRing(1 << 20);
  const fromApply = new MemoryRing(1 << 20);
  const router = new Router({
    toRaft,
    toApply,
    inboxes: [options.inbox ?? fromApply],
    memberId: 0xbeefn,
    electionTimeoutMs: 1000,
    firstRequestId: FIRST_ID,
    requestTimeoutMs: options.requestTimeoutMs ?? 7000,
    requestBytesMax: options.requestBytesMax ?? 1_572_864,
    onFailure: (error) => {
      throw error;
    },
  });
  routers.push(router);
  return { router, toRaft, toApply, fromApply };
}

function records(ring: MemoryRing): Array<{ type: number; id: number; payload: Buffer }> {
  ring.publish();
  const list: Array<{ type: number; id: number; payload: Buffer }> = [];
  ring.drain((type, _flags, id, bytes, start, end) => {
    list.push({ type, id, payload: Buffer.from(bytes.slice(start, end)) });
  }, 1000);
  return list;
}

function answer(ring: MemoryRing, type: number, id: number, payload: Uint8Array): void {
  ok(ring.write(type, 0, id, payload, 0, payload.length));
  ring.publish();
}

test("a proposal carries the client's bytes and the member's request id", () => {
  const { router, toRaft } = setUp();
  const body = text("client bytes");
  router.propose(new FakeCall(), RaftField.put, body, 0, body.length);
  const [record] = records(toRaft);
  ok(record !== undefined);
  equal(record.type, RecordType.propose);
  equal(record.id, FIRST_ID);
  const view = new RaftRequestView();
  ok(view.decode(record.payload, 0, record.payload.length));
  equal(view.field, RaftField.put);
  equal(record.payload.subarray(view.payloadStart, view.payloadEnd).toString(), "client bytes");
  equal(view.idHigh >>> 16, 0xbeef);
  equal((view.idHigh & 0xffff) * 2 ** 32 + view.idLow, FIRST_ID);
});

test("answers reach the call that asked, whatever their order; a second answer goes nowhere", () => {
  const { router, fromApply } = setUp();
  const calls = [new FakeCall(), new FakeCall(), new FakeCall()];
  for (const call of calls) router.read(call, ReadKind.range, true, text("q"), 0, 1);
  answer(fromApply, RecordType.response, FIRST_ID + 2, text("third"));
  answer(fromApply, RecordType.response, FIRST_ID, text("first"));
  answer(fromApply, RecordType.response, FIRST_ID, text("again"));
  router.drainInboxes();
  deepEqual(
    calls.map((call) => call.sent),
    ["first", "", "third"],
  );
  deepEqual(
    calls.map((call) => call.status?.code),
    [0, undefined, 0],
  );
  equal(router.pendingRequests, 1);
});

test("an error record becomes etcd's code and text", () => {
  const { router, fromApply } = setUp();
  const call = new FakeCall();
  router.read(call, ReadKind.range, false, text("q"), 0, 1);
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(ErrorId.compacted);
  answer(fromApply, RecordType.error, FIRST_ID, payload);
  router.drainInboxes();
  deepEqual(call.status, { code: 11, message: "etcdserver: mvcc: required revision has been compacted" });
});

test("records that are copied to many clients leave their turn to others", () => {
  const { router, fromApply } = setUp();
  let handled = 0;
  router.onRecord(RecordType.watchEvents, () => {
    handled++;
    router.noteCopies(700_000);
  });
  for (let i = 0; i < 5; i++) answer(fromApply, RecordType.watchEvents, 0, text("e"));
  equal(router.drainInboxes(), 2);
  equal(router.drainInboxes(), 2);
  equal(router.drainInboxes(), 1);
  equal(handled, 5);
});

test("a proposal above --max-request-bytes is refused before raft", () => {
  const { router, toRaft } = setUp({ requestBytesMax: 100 });
  const call = new FakeCall();
  router.propose(call, RaftField.put, new Uint8Array(100), 0, 100);
  equal(call.status?.message, ERRORS[ErrorId.requestTooLarge]?.message);
  deepEqual(records(toRaft), []);
  equal(router.pendingRequests, 0);
});

test("linearizable reads go to raft, serializable ones to apply", () => {
  const { router, toRaft, toApply } = setUp();
  router.read(new FakeCall(), ReadKind.range, true, text("lin"), 0, 3);
  router.read(new FakeCall(), ReadKind.txn, false, text("ser"), 0, 3);
  deepEqual(
    records(toRaft).map((r) => r.payload.toString("latin1")),
    ["\x01lin"],
  );
  deepEqual(
    records(toApply).map((r) => r.payload.toString("latin1")),
    ["\x02ser"],
  );
});

test("a full ring pauses the sockets, keeps the order and loses nothing", async () => {
  const { router, toRaft } = setUp({ raftRingBytes: 1024 });
  const paused: boolean[] = [];
  router.attach({
    flush: () => {},
    setPaused: (on: boolean) => paused.push(on),
    drain: async () => {},
  } satisfies ServerTransport);
  const bodies = Array.from({ length: 40 }, (_, i) => text(`body ${String(i).padStart(60, "0")}`));
  for (const body of bodies) router.propose(new FakeCall(), RaftField.put, body, 0, body.length);
  deepEqual(paused, [true]);
  const ids: number[] = [];
  while (ids.length < bodies.length) {
    for (const record of records(toRaft)) ids.push(record.id);
    await new Promise((resolve) => setImmediate(resolve));
  }
  deepEqual(
    ids,
    bodies.map((_, i) => FIRST_ID + i),
  );
  deepEqual(paused, [true, false]);
});

test("a streamed answer gets credit back as long as the client reads, and ends after its last byte", () => {
  const { router, fromApply, toApply } = setUp();
  const call = new FakeCall();
  router.read(call, ReadKind.range, false, text("q"), 0, 1);
  records(toApply);
  const head = Buffer.alloc(8);
  head.writeDoubleLE(6);
  answer(fromApply, RecordType.streamHead, FIRST_ID, head);
  router.drainInboxes();
  deepEqual(
    records(toApply).map((r) => [r.type, r.payload.readUInt32LE()]),
    [[RecordType.credit, STREAM_WINDOW_BYTES]],
  );
  answer(fromApply, RecordType.streamData, FIRST_ID, text("ab"));
  router.drainInboxes();
  deepEqual(
    records(toApply).map((r) => [r.type, r.payload.readUInt32LE()]),
    [[RecordType.credit, 2]],
  );
  call.waitingBytes = STREAM_PENDING_BYTES_MAX + 1;
  answer(fromApply, RecordType.streamData, FIRST_ID, text("cd"));
  router.drainInboxes();
  deepEqual(records(toApply), []);
  call.waitingBytes = 0;
  router.drained(call);
  deepEqual(
    records(toApply).map((r) => [r.type, r.payload.readUInt32LE()]),
    [[RecordType.credit, 2]],
  );
  equal(call.status, null);
  answer(fromApply, RecordType.streamData, FIRST_ID, text("ef"));
  router.drainInboxes();
  equal(call.sent, "[6]abcdef");
  equal(call.status?.["code"], 0);
});

test("cancelling tells apply and forgets the call", () => {
  const { router, fromApply, toApply } = setUp();
  const call = new FakeCall();
  router.read(call, ReadKind.range, false, text("q"), 0, 1);
  router.cancel(call);
  router.cancel(call);
  deepEqual(
    records(toApply).map((r) => r.type),
    [RecordType.read, RecordType.cancel],
  );
  answer(fromApply, RecordType.response, FIRST_ID, text("late"));
  router.drainInboxes();
  equal(call.sent, "");
});

test("thousands of requests may wait while the oldest is still there", () => {
  const { router, fromApply } = setUp();
  const calls = Array.from({ length: 5000 }, () => new FakeCall());
  for (const call of calls) router.read(call, ReadKind.barrier, false, text(""), 0, 0);
  equal(router.pendingRequests, 5000);
  for (const i of [4999, 0, 4096]) answer(fromApply, RecordType.response, FIRST_ID + i, text(`#${i}`));
  router.drainInboxes();
  deepEqual(
    [0, 4096, 4999].map((i) => calls[i]?.sent),
    ["#0", "#4096", "#4999"],
  );
});

test("stopping fails what waits and what still comes", () => {
  const { router } = setUp();
  const waiting = new FakeCall();
  const late = new FakeCall();
  router.read(waiting, ReadKind.barrier, true, text(""), 0, 0);
  router.stop();
  router.read(late, ReadKind.barrier, true, text(""), 0, 0);
  for (const call of [waiting, late])
    deepEqual(call.status, { code: 14, message: "etcdserver: server stopped" });
});

/** Tells main how far apply is, or raft. */
function tellIndex(ring: MemoryRing, type: number, index: number): void {
  const payload = new Uint8Array(24);
  new DataView(payload.buffer).setFloat64(0, index, true);
  ring.write(type, 0, 0, payload, 0, payload.length);
  ring.publish();
}

test("proposals are refused while apply is far behind, and not because its news waits behind its answers", () => {
  const { router, fromApply } = setUp();
  const tryPut = (): FakeCall => {
    const call = new FakeCall();
    router.propose(call, RaftField.put, text("k"), 0, 1);
    return call;
  };
  tellIndex(fromApply, RecordType.raftStatus, 10_000);
  tellIndex(fromApply, RecordType.applyStatus, 4999);
  router.drainInboxes();
  const { message, grpcCode } = ERRORS[ErrorId.requestTooManyRequests];
  deepEqual(tryPut().status, { code: grpcCode, message });
  equal(router.pendingRequests, 0);
  // More answers than one drain takes, of calls that have gone, and behind them how far apply is.
  for (let i = 0; i < 10_000; i++) fromApply.write(RecordType.response, 0, 1, text(""), 0, 0);
  tellIndex(fromApply, RecordType.applyStatus, 5000);
  router.drainInboxes();
  equal(router.status.appliedIndex, 4999);
  equal(tryPut().status, null);
  equal(router.pendingRequests, 1);
});

test("a record that sets off a proposal of the member's own takes no records from below the one being taken", () => {
  const memory = createRingMemory(1 << 16);
  const worker = new SharedRingWriter(memory, new Doorbell(createDoorbellMemory()));
  const { router, toRaft } = setUp({ inbox: new SharedRingReader(memory) });
  const tell = (type: number, id: number, ...numbers: number[]): void => {
    const payload = Buffer.from(Float64Array.of(...numbers).buffer);
    ok(worker.write(type, 0, id, payload, 0, payload.length));
  };
  const guard = new SpaceGuard({ router, quotaBytes: 1000, autoDisarm: true, log: SILENT_LOGGER });
  const refused = new FakeCall();
  router.status.spaceListeners.add(() => {
    // Apply goes on meanwhile; a client's request comes too early, and one of the member's own is none.
    tell(RecordType.applyStatus, 0, 6000, 7, -1);
    worker.publish();
    router.propose(refused, RaftField.put, text("q"), 0, 1);
  });
  tell(RecordType.raftStatus, 0, 6000, 6000, 2);
  tell(RecordType.spaceExceeded, 0, 500);
  worker.publish();
  equal(router.drainInboxes(), 2);
  equal(refused.status?.message, "etcdserver: too many requests");
  equal(router.drainInboxes(), 1);
  deepEqual([router.status.appliedIndex, readRingStats(memory).depthBytes], [6000, 0]);
  deepEqual(
    records(toRaft).map(({ type }) => type),
    [RecordType.propose],
  );
  guard.stop();
});
