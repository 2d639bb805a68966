/** RangeStream between rings, with the test as apply: parts that fit into memory, whatever the values are like, and nothing left out. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { afterEach, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

import { RecordingCall, ServiceFixture } from "../../test/support/service-fixture.ts";
import { waitFor } from "../../test/support/wait.ts";
import { ERRORS, ErrorId } from "../base/errors.ts";
import { RangeRequestSchema, type RangeResponse, RangeResponseSchema } from "../proto/gen/rpc_pb.ts";
import { RecordType } from "../ring/record-types.ts";
import { RangeStreamMethod } from "./range-stream.ts";

/** Longer answers are announced, and sent when there is credit for them. */
const INLINE_BYTES_MAX = 64 * 1024;
const REVISION = 7n;

let fixture = new ServiceFixture();
afterEach(() => {
  fixture.stop();
  fixture = new ServiceFixture();
});

/** Takes a stream's messages: RangeStreamResponse {1 range_response}. */
class StreamCall extends RecordingCall {
  readonly parts: RangeResponse[] = [];
  override sendMessage(bytes: Uint8Array, start: number, end: number): void {
    let at = start + 1;
    while (bytes[at++] >= 0x80);
    this.parts.push(fromBinary(RangeResponseSchema, bytes.subarray(at, end)));
  }
}

/** Apply, with keys by number and values of these lengths. It answers serializable reads. */
class Store {
  readonly #credited: number[] = [];
  cancelled = 0;
  readonly #kvs: ReadonlyArray<{ readonly key: Buffer; readonly value: Uint8Array }>;
  readonly #announced = new Map<number, Buffer>();

  constructor(lengths: readonly number[]) {
    this.#kvs = lengths.map((length, i) => ({ key: Buffer.from(keyOf(i)), value: new Uint8Array(length) }));
  }

  /** Answers what has come. There is time between an announcement and what follows it. */
  serve(refuseAboveBytes = Infinity): void {
    const credited = this.#credited.splice(0);
    for (const { type, id, payload } of fixture.applyRecords()) {
      if (type === RecordType.read) this.#read(id, payload.subarray(1), refuseAboveBytes);
      else if (type === RecordType.credit) this.#credited.push(id);
      else if (type === RecordType.cancel) this.cancelled += Number(this.#announced.delete(id));
    }
    for (const id of credited) this.#send(id);
  }

  #read(id: number, payload: Uint8Array, refuseAboveBytes: number): void {
    const request = fromBinary(RangeRequestSchema, payload);
    const first = Buffer.from(request.key).toString();
    const limit = Number(request.limit);
    const from = this.#kvs.findIndex(({ key }) => key.toString() >= first);
    const found = from < 0 ? [] : this.#kvs.slice(from);
    const answer = Buffer.from(
      toBinary(
        RangeResponseSchema,
        create(RangeResponseSchema, {
          header: { revision: REVISION },
          kvs: found.slice(0, limit),
          more: found.length > limit,
          count: BigInt(found.length),
        }),
      ),
    );
    if (answer.length > refuseAboveBytes) {
      const payload = Buffer.alloc(4);
      payload.writeUInt32LE(ErrorId.responseTooLarge);
      return fixture.fromWorker(RecordType.error, id, payload);
    }
    if (answer.length <= INLINE_BYTES_MAX) return fixture.fromWorker(RecordType.response, id, answer);
    this.#announced.set(id, answer);
    fixture.fromWorker(RecordType.streamHead, id, Buffer.from(Float64Array.of(answer.length).buffer));
  }

  #send(id: number): void {
    const answer = this.#announced.get(id);
    if (answer === undefined) return;
    this.#announced.delete(id);
    for (let at = 0; at < answer.length; at += INLINE_BYTES_MAX)
      fixture.fromWorker(RecordType.streamData, id, answer.subarray(at, at + INLINE_BYTES_MAX));
  }
}

function keyOf(i: number): string {
  return `k${String(i).padStart(6, "0")}`;
}

/** All keys, from the member alone. */
async function stream(store: Store, refuseAboveBytes?: number): Promise<StreamCall> {
  const call = new StreamCall();
  const key = Buffer.from("k");
  const request = create(RangeRequestSchema, { key, rangeEnd: Buffer.from("l"), serializable: true });
  const bytes = toBinary(RangeRequestSchema, request);
  new RangeStreamMethod(fixture.router).onMessage(call, bytes, 0, bytes.length);
  await waitFor("the end of the stream", 10_000, () => {
    store.serve(refuseAboveBytes);
    return call.status ?? undefined;
  });
  return call;
}

function keysOf({ parts }: StreamCall): string[] {
  return parts.flatMap(({ kvs }) => kvs.map(({ key }) => Buffer.from(key).toString()));
}

const MIB = 1024 * 1024;
/** Short values let the parts grow, and long ones follow. */
const MIXED = [...new Array<number>(400).fill(10), ...new Array<number>(6).fill(MIB)];

test("long values behind many short ones come a few at a time", async () => {
  const store = new Store(MIXED);
  const call = await stream(store);
  equal(call.status?.code, 0);
  deepEqual(
    keysOf(call),
    MIXED.map((_, i) => keyOf(i)),
  );
  const longest = Math.max(
    ...call.parts.map(({ kvs }) => kvs.reduce((bytes, { value }) => bytes + value.length, 0)),
  );
  ok(longest <= 4 * MIB, `${longest} bytes in one part`);
  ok(store.cancelled > 0, "what is too long is given up");
  const last = call.parts.at(-1);
  deepEqual([last?.header?.revision, last?.more, last?.count], [REVISION, false, BigInt(MIXED.length)]);
  equal(fixture.router.pendingRequests, 0);
});

test("what no message could hold is asked for in smaller parts, down to a single key, which then fails", async () => {
  const fits = await stream(new Store(MIXED), 3 * MIB);
  equal(fits.status?.code, 0);
  equal(keysOf(fits).length, MIXED.length);
  const never = await stream(new Store([10, 10, MIB]), MIB / 2);
  const { grpcCode, message } = ERRORS[ErrorId.responseTooLarge];
  deepEqual(never.status, { code: grpcCode, message });
  deepEqual(keysOf(never), [keyOf(0), keyOf(1)]);
});
