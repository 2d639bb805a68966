import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { WatchResponseSchema } from "../src/proto/gen/rpc_pb.ts";
import { WatchAnswer } from "./watch-answer.ts";

interface Seen {
  readonly watchId: number;
  readonly modRevision: number;
  readonly value: string;
}

function readAll(message: Uint8Array): { answer: WatchAnswer; seen: Seen[] } {
  const seen: Seen[] = [];
  const answer = new WatchAnswer({
    onEvent: (watchId, modRevision, bytes, valueStart) =>
      seen.push({
        watchId,
        modRevision,
        value: valueStart === -1 ? "" : bytes.toString("utf8", valueStart, valueStart + 3),
      }),
  });
  answer.read(Buffer.from(message), 0, message.length);
  return { answer, seen };
}

test("events of a WatchResponse are told with watch, revision and value", () => {
  const message = toBinary(
    WatchResponseSchema,
    create(WatchResponseSchema, {
      header: { clusterId: 2n ** 64n - 1n, memberId: 7n, revision: 300n, raftTerm: 2n },
      watchId: 1000n,
      events: [
        {
          type: 0,
          kv: {
            key: Buffer.from("k"),
            createRevision: 5n,
            modRevision: 299n,
            version: 3n,
            value: Buffer.from("one"),
            lease: 2n ** 62n,
          },
        },
        {
          type: 1,
          kv: { key: Buffer.from("k"), modRevision: 300n },
          prevKv: { key: Buffer.from("k"), modRevision: 299n, value: Buffer.from("one") },
        },
      ],
    } as never),
  );
  assert.deepEqual(readAll(message).seen, [
    { watchId: 1000, modRevision: 299, value: "one" },
    { watchId: 1000, modRevision: 300, value: "" },
  ]);
});

test("a refused watch has the id -1 and a reason", () => {
  const message = toBinary(
    WatchResponseSchema,
    create(WatchResponseSchema, { watchId: -1n, created: true, canceled: true, cancelReason: "no" }),
  );
  const { watchId, created, canceled, cancelReason } = readAll(message).answer;
  assert.deepEqual(
    { watchId, created, canceled, cancelReason },
    { watchId: -1, created: true, canceled: true, cancelReason: "no" },
  );
});
