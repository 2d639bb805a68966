/** What clients that do not read may cost main, and that they cost nobody else his answers. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";

import type { Call } from "../grpc/service.ts";
import {
  AnswerStreams,
  STREAM_PENDING_BYTES_MAX,
  STREAM_STALL_CONTENDED_MS_MAX,
  STREAM_STALL_MS_MAX,
  STREAM_WINDOW_BYTES,
  STREAMS_OPEN_MAX,
  STREAMS_PER_CONNECTION_MAX,
} from "./answer-streams.ts";

const BYTES = new Uint8Array(STREAM_PENDING_BYTES_MAX + 1);

/** A call whose client takes bytes when told so. */
class SlowCall implements Call {
  state: unknown;
  readonly path = "/test";
  readonly deadlineMs = Infinity;
  readonly remote: string;
  readonly cancelled = false;
  reads = false;
  waitingBytes = 0;
  status = -1;

  constructor(id: number, remote: string) {
    this.state = id;
    this.remote = remote;
  }
  metadata(): undefined {
    return undefined;
  }
  sendMessage(): void {
    throw new Error("a streamed answer is sent in parts");
  }
  startMessage(): void {}
  sendPart(_bytes: Uint8Array, start: number, end: number): number {
    if (!this.reads) this.waitingBytes += end - start;
    return this.waitingBytes;
  }
  pendingBytes(): number {
    return this.waitingBytes;
  }
  end(code: number): void {
    this.status = code;
  }
}

function setUp() {
  const credits: Array<[id: number, bytes: number]> = [];
  const streams = new AnswerStreams((id, bytes) => credits.push([id, bytes]));
  let nextId = 0;
  const add = (remote: string, totalBytes = BYTES.length): SlowCall => {
    const call = new SlowCall(nextId++, remote);
    streams.add(call.state as number, call, totalBytes, 0);
    return call;
  };
  const take = (call: SlowCall): void => {
    call.waitingBytes = 0;
    streams.drained(call);
  };
  const taken = (): Array<[id: number, bytes: number]> => credits.splice(0);
  return { streams, add, take, taken };
}

test("an answer ends only when its client has taken it", () => {
  const { streams, add, take, taken } = setUp();
  const call = add("a", 10);
  deepEqual(taken(), [[0, STREAM_WINDOW_BYTES]]);
  streams.receive(0, BYTES, 0, 4);
  deepEqual(taken(), [[0, 4]], "little enough waits: apply may send on");
  streams.receive(0, BYTES, 0, 6);
  equal(call.status, -1);
  take(call);
  equal(call.status, 0);
  equal(streams.size, 0);
});

test("credit goes back while little waits, and when all is taken", () => {
  const { streams, add, take, taken } = setUp();
  const call = add("a", 3 * BYTES.length);
  taken();
  streams.receive(0, BYTES, 0, BYTES.length);
  streams.receive(0, BYTES, 0, 5);
  deepEqual(taken(), []);
  take(call);
  deepEqual(taken(), [[0, BYTES.length + 5]]);
});

test("a connection has so many answers open; the others wait without credit and follow in order", () => {
  const { streams, add, take, taken } = setUp();
  const calls = Array.from({ length: STREAMS_PER_CONNECTION_MAX + 2 }, () => add("a"));
  const other = add("b");
  deepEqual(
    taken().map(([id]) => id),
    [...calls.slice(0, STREAMS_PER_CONNECTION_MAX), other].map((call) => call.state),
  );
  streams.receive(0, BYTES, 0, BYTES.length);
  deepEqual(taken(), [], "ended by apply, but not taken");
  take(calls[0]);
  equal(calls[0].status, 0);
  deepEqual(taken(), [[STREAMS_PER_CONNECTION_MAX, STREAM_WINDOW_BYTES]]);
  equal(streams.remove(STREAMS_PER_CONNECTION_MAX + 1), calls.at(-1), "cancelled while it waits");
  equal(streams.remove(1), calls[1]);
  deepEqual(taken(), [], "nobody waits");
});

test("all places taken: connections have turns, and who has not read for seconds loses his", () => {
  const { streams, add, take, taken } = setUp();
  const holders = Array.from({ length: STREAMS_OPEN_MAX }, (_, i) =>
    add(`holder ${Math.floor(i / STREAMS_PER_CONNECTION_MAX)}`),
  );
  const [, moreOfB, ofC] = [add("b"), add("b"), add("c")];
  equal(taken().length, STREAMS_OPEN_MAX);
  streams.receive(0, BYTES, 0, BYTES.length);
  streams.receive(1, BYTES, 0, BYTES.length);
  take(holders[0]);
  take(holders[1]);
  deepEqual(
    taken().map(([id]) => id),
    [STREAMS_OPEN_MAX, ofC.state],
    "one of b, then one of c",
  );
  for (const holder of [2, 3]) streams.receive(holder, BYTES, 0, 100);
  deepEqual(streams.stalled(0), []);
  holders[2].waitingBytes -= 1;
  deepEqual(streams.stalled(STREAM_STALL_CONTENDED_MS_MAX), []);
  deepEqual(
    streams.stalled(STREAM_STALL_CONTENDED_MS_MAX + 1),
    [3],
    "waiting for apply, or reading slowly, is no stall",
  );
  taken();
  streams.remove(3);
  deepEqual(
    taken().map(([id]) => id),
    [moreOfB.state],
  );
});

test("without others that wait, a client may pause for a minute", () => {
  const { streams, add } = setUp();
  add("a", 2 * BYTES.length);
  streams.receive(0, BYTES, 0, BYTES.length);
  streams.stalled(0);
  deepEqual(streams.stalled(STREAM_STALL_MS_MAX), []);
  deepEqual(streams.stalled(STREAM_STALL_MS_MAX + 1), [0]);
});

test("stopping hands over every call once", () => {
  const { streams, add } = setUp();
  const calls = Array.from({ length: 20 }, (_, i) => add(`c${i % 2}`));
  const seen: Call[] = [];
  streams.removeAll((call) => seen.push(call));
  deepEqual(seen, calls);
  equal(streams.size, 0);
  streams.receive(0, BYTES, 0, 1);
  ok(calls.every((call) => call.waitingBytes === 0));
});
