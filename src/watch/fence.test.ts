import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { WatchCreateRequestSchema } from "../proto/gen/rpc_pb.ts";
import { RecordType } from "../ring/record-types.ts";
import { WatchHarness } from "./testing/watch-harness.ts";

test("a fence comes back behind the answers to everything in front of it", () => {
  const harness = new WatchHarness({ seed: 1 });
  const key = Buffer.from("k");
  const request = toBinary(WatchCreateRequestSchema, create(WatchCreateRequestSchema, { key }));
  harness.request(RecordType.watchFence, 0);
  for (let stream = 0; stream < 3; stream++) harness.create(stream, request);
  harness.request(RecordType.watchFence, 0);
  // Not answered at all.
  harness.cancel(0, 99n);
  harness.request(RecordType.watchFence, 0);
  harness.create(4, request);
  harness.settle();
  deepEqual(harness.fences, [0, 3, 3]);
  deepEqual(harness.take().length, 4);
});
