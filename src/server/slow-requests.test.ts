import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";

import type { Call, EndedCall } from "../grpc/service.ts";
import { PutRequestSchema, PutResponseSchema } from "../proto/gen/rpc_pb.ts";
import { RaftField, raftRequestBytes, writeRaftRequest } from "../proto/raft-request.ts";
import { createLoggerOn, type LogRecord, LogThreshold } from "../telemetry/logger.ts";
import type { RecalledRecord } from "./router-options.ts";
import { SlowRequests } from "./slow-requests.ts";

const PUT = { path: "/etcdserverpb.KV/Put", remote: "127.0.0.1:1" } as Call;

function make(recalled: RecalledRecord | null): {
  slow: SlowRequests;
  lines: LogRecord[];
  threshold: LogThreshold;
} {
  const lines: LogRecord[] = [];
  const threshold = LogThreshold.at("info");
  const log = createLoggerOn((line) => lines.push(line), threshold);
  return {
    slow: new SlowRequests({ router: { recall: () => recalled }, log, warningMs: 300 }),
    lines,
    threshold,
  };
}

function ended(endedMs: number): EndedCall {
  const answer = toBinary(PutResponseSchema, create(PutResponseSchema, { header: { revision: 5n } }));
  return {
    grpcCode: 0,
    startedMs: endedMs - 1500,
    endedMs,
    answer,
    start: 0,
    end: answer.length,
    answerBytes: answer.length,
  };
}

function proposal(): RecalledRecord {
  const put = toBinary(
    PutRequestSchema,
    create(PutRequestSchema, { key: Buffer.from("k"), value: Buffer.from("secret") }),
  );
  const bytes = new Uint8Array(raftRequestBytes(RaftField.put, put.length, 1, 0));
  writeRaftRequest(bytes, 0, RaftField.put, put, 0, put.length, 1, 0);
  return { bytes, start: 0, end: bytes.length, isProposal: true };
}

test("a slow put has etcd's line, without its value", () => {
  const { slow, lines } = make(proposal());
  slow.onSlow(PUT, ended(2000));
  assert.equal(lines.length, 1);
  const { level, msg, fields } = lines[0];
  assert.deepEqual([level, msg], ["warn", "request stats"]);
  const { "start time": started, ...others } = fields;
  assert.match(String(started), /^\d{4}-\d\d-\d\dT/);
  assert.deepEqual(others, {
    "time spent": "1.5s",
    remote: "127.0.0.1:1",
    "response type": "/etcdserverpb.KV/Put",
    "request count": 1,
    "request size": 11,
    "response count": 0,
    "response size": 4,
    "request content": 'key:"k" value_size:6 ',
  });
});

test("a request that the ring has no more is told of without its content, other methods without counts", () => {
  const { slow, lines } = make(null);
  slow.onSlow(PUT, ended(2000));
  slow.onSlow({ ...PUT, path: "/etcdserverpb.Lease/LeaseGrant" }, ended(2000));
  const shown = lines.map(({ fields }) => [
    fields["request size"],
    fields["response size"],
    fields["request content"],
  ]);
  assert.deepEqual(shown, [
    [-1, 4, ""],
    [-1, -1, ""],
  ]);
});

test("the threshold follows the level of the log: at debug every call, with nobody to read warnings none", () => {
  const { slow, threshold, lines } = make(null);
  assert.equal(slow.thresholdMs(), 300);
  threshold.level = "debug";
  assert.equal(slow.thresholdMs(), -1);
  slow.onSlow(PUT, ended(2000));
  assert.equal(lines[0].level, "debug");
  threshold.level = "error";
  assert.equal(slow.thresholdMs(), Infinity);
});

test("when everything is slow, a hundred lines are made in a second", () => {
  const { slow, lines } = make(null);
  for (let i = 0; i < 1000; i++) slow.onSlow(PUT, ended(5000 + i / 2));
  assert.equal(lines.length, 100);
  slow.onSlow(PUT, ended(6000));
  assert.equal(lines.length, 101);
});
