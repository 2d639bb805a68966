/** Previous values of watchers that catch up: what etcd gives, whatever is in memory by chance, and of keys of any length. */
import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { WatchCreateRequestSchema } from "../proto/gen/rpc_pb.ts";
import { WatchHarness } from "./testing/watch-harness.ts";
import { QUERY_BYTES_MAX } from "./watch-limits.ts";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

function setUp() {
  const harness = new WatchHarness({ seed: 1 });
  const put = (key: Uint8Array, value: string): void =>
    harness.batch(() => harness.txn(() => harness.put(key, Buffer.from(value))));
  const watch = (stream: number, startRevision: number): void => {
    const request = { key: Buffer.of(0), rangeEnd: Buffer.of(0), prevKv: true };
    harness.create(
      stream,
      toBinary(
        WatchCreateRequestSchema,
        create(WatchCreateRequestSchema, { ...request, startRevision: BigInt(startRevision) }),
      ),
    );
  };
  /** [revision, previous value] of each event of a stream. */
  const seen = (stream: number): Array<[number, string | undefined]> => {
    for (harness.settle(); harness.waiting(stream) > 0; harness.settle()) harness.read(stream);
    return harness
      .take()
      .filter((each) => each.stream === stream)
      .flatMap(({ response }) => response.events)
      .map(({ kv, prevKv }) => [Number(kv?.modRevision), prevKv && text(prevKv.value)]);
  };
  return { harness, put, watch, seen };
}

test("an event of the compacted revision has no previous value, although it is in memory still", () => {
  const { harness, put, watch, seen } = setUp();
  const key = Buffer.from("k");
  watch(0, 0);
  harness.settle();
  for (const value of ["two", "three", "four"]) put(key, value);
  deepEqual(seen(0), [
    [2, undefined],
    [3, "two"],
    [4, "three"],
  ]);
  harness.batch(() => harness.compact(3));
  watch(1, 3);
  deepEqual(seen(1), [
    [3, undefined],
    [4, "three"],
  ]);
});

test("keys longer than an ordinary question have previous values too", () => {
  const { harness, put, watch, seen } = setUp();
  const long = Buffer.alloc(QUERY_BYTES_MAX + 1, "k");
  for (const [key, value] of [
    [Buffer.from("a"), "a2"],
    [long, "l3"],
    [Buffer.from("a"), "a4"],
    [long, "l5"],
    [long, "l6"],
    [Buffer.from("a"), "a7"],
  ] as const)
    put(key, value);
  harness.commit();
  watch(0, 4);
  deepEqual(seen(0), [
    [4, "a2"],
    [5, "l3"],
    [6, "l5"],
    [7, "a4"],
  ]);
});
