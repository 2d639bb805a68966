/** One record for many watchers, as long as main is not kept busy by it for long. */
import { equal } from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { WatchCreateRequestSchema } from "../proto/gen/rpc_pb.ts";
import { WatchHarness } from "./testing/watch-harness.ts";

const STREAMS = 40;

for (const [valueBytes, records] of [
  [1000, 1],
  [100_000, 2],
] as const)
  test(`an event of ${valueBytes} bytes goes to ${STREAMS} watchers in ${records} record(s)`, () => {
    const harness = new WatchHarness({ seed: 1 });
    const key = Buffer.from("k");
    const request = toBinary(WatchCreateRequestSchema, create(WatchCreateRequestSchema, { key }));
    for (let stream = 0; stream < STREAMS; stream++) harness.create(stream, request);
    harness.settle();
    harness.take();
    harness.batch(() => harness.txn(() => harness.put(key, Buffer.alloc(valueBytes))));
    harness.settle();
    equal(harness.shared, records);
    const seen = harness.take().filter(({ response }) => response.events.length === 1);
    equal(new Set(seen.map(({ stream }) => stream)).size, STREAMS);
    equal(seen.length, STREAMS);
  });
