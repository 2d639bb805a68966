/** A router between in-memory rings, and calls that remember what they were answered: for tests of services. */
import type { MethodHandler, Call } from "../../src/grpc/service.ts";
import { MemoryRing } from "../../src/ring/memory-ring.ts";
import { Router } from "../../src/server/router.ts";

/** One record as it stands in a ring. */
export interface SentRecord {
  readonly type: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** A call without a client. */
export class RecordingCall implements Call {
  state: unknown = null;
  readonly path = "/test";
  readonly deadlineMs = Infinity;
  readonly remote = "test";
  readonly cancelled = false;
  /** The message it was answered, if it was. */
  message: Buffer | null = null;
  status: { readonly code: number; readonly message: string } | null = null;
  metadata(): undefined {
    return undefined;
  }
  sendMessage(bytes: Uint8Array, start: number, end: number): void {
    this.message = Buffer.from(bytes.slice(start, end));
  }
  startMessage(): void {
    throw new Error("no streamed answers here");
  }
  sendPart(): number {
    throw new Error("no streamed answers here");
  }
  pendingBytes(): number {
    return 0;
  }
  end(code: number, message: string): void {
    this.status = { code, message };
  }
}

/** What a service stands between. Call {@link stop} at the end. */
export class ServiceFixture {
  readonly toRaft = new MemoryRing(1 << 20);
  readonly toApply = new MemoryRing(1 << 20);
  readonly fromWorkers = new MemoryRing(1 << 20);
  readonly router = new Router({
    toRaft: this.toRaft,
    toApply: this.toApply,
    inboxes: [this.fromWorkers],
    memberId: 1n,
    electionTimeoutMs: 1000,
    firstRequestId: 1000,
    requestTimeoutMs: 7000,
    requestBytesMax: 1_572_864,
    onFailure: (error) => {
      throw error;
    },
  });

  /** Calls the method whose path ends in `name` with a request that follows other bytes and is followed by some. */
  call(methods: readonly MethodHandler[], name: string, request: Uint8Array): RecordingCall {
    const method = methods.find((each) => each.path.endsWith(`/${name}`));
    if (method === undefined) throw new Error(`no method ${name}`);
    const call = new RecordingCall();
    const around = Buffer.concat([Buffer.of(0x0a, 9), request, Buffer.of(0xff, 0xff)]);
    method.onMessage(call, around, 2, 2 + request.length);
    return call;
  }

  /** Sends main a record as a worker would. */
  fromWorker(type: number, id: number, payload: Uint8Array): void {
    this.fromWorkers.write(type, 0, id, payload, 0, payload.length);
    this.fromWorkers.publish();
    this.router.drainInboxes();
  }

  /** Takes what was sent to raft. */
  raftRecords(): SentRecord[] {
    return take(this.toRaft);
  }

  /** Takes what was sent to apply. */
  applyRecords(): SentRecord[] {
    return take(this.toApply);
  }

  stop(): void {
    this.router.stop();
  }
}

function take(ring: MemoryRing): SentRecord[] {
  ring.publish();
  const records: SentRecord[] = [];
  ring.drain((type, _flags, id, bytes, start, end) => {
    records.push({ type, id, payload: Buffer.from(bytes.slice(start, end)) });
  }, 1000);
  return records;
}
