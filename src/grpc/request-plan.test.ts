/** What becomes of requests that cannot be served, in grpc-go's words (checked against etcd 3.6). */
import assert from "node:assert/strict";
import { test } from "node:test";

import { GrpcCode } from "../base/errors.ts";
import { HeaderBlock } from "../http2/header-block.ts";
import { HeaderField } from "../http2/header-field.ts";
import { planRequest, rejectTimeout } from "./request-plan.ts";
import type { MethodHandler } from "./service.ts";

const handler: MethodHandler = { path: "/etcdserverpb.KV/Put", kind: "unary", onMessage: () => {} };
const services = new Map([[handler.path, handler]]);

function plan(fields: Readonly<Record<string, string | undefined>>) {
  const block = new HeaderBlock();
  const all = { ":method": "POST", ":path": handler.path, "content-type": "application/grpc", ...fields };
  for (const [name, value] of Object.entries(all))
    if (value !== undefined) block.add(HeaderField.of(name, value));
  const { method, httpStatus, grpcCode, message, contentType } = planRequest(services, new Map(), block);
  return { served: method === handler, httpStatus, grpcCode, message, contentType };
}

test("content types: gRPC's, with its subtype in the answer; nothing else", () => {
  for (const [asked, answered] of [
    ["application/grpc", "application/grpc"],
    ["application/grpc+proto", "application/grpc+proto"],
    ["application/grpc;proto", "application/grpc+proto"],
    ["application/grpc+", "application/grpc"],
  ] as const) {
    const { served, contentType } = plan({ "content-type": asked });
    assert.deepEqual({ served, contentType }, { served: true, contentType: answered });
  }
  for (const asked of ["application/json", "application/grpcx", "Application/gRPC", "", undefined]) {
    const { served, httpStatus, grpcCode, message } = plan({ "content-type": asked });
    assert.deepEqual(
      { served, httpStatus, grpcCode },
      { served: false, httpStatus: 415, grpcCode: GrpcCode.invalidArgument },
    );
    assert.equal(message, `invalid gRPC request content-type "${asked ?? ""}"`);
  }
});

test("methods, paths and encodings that are not served", () => {
  const cases: [Record<string, string>, number, number, string][] = [
    [
      { ":method": "GET" },
      405,
      GrpcCode.internal,
      'Received a HEADERS frame with :method "GET" which should be POST',
    ],
    [
      { ":path": "/etcdserverpb.KV/Nope" },
      200,
      GrpcCode.unimplemented,
      "unknown method Nope for service etcdserverpb.KV",
    ],
    [{ ":path": "/nope.S/X" }, 200, GrpcCode.unimplemented, "unknown service nope.S"],
    [{ ":path": "/nope" }, 200, GrpcCode.unimplemented, 'malformed method name: "/nope"'],
    [
      { "grpc-encoding": "snappy" },
      200,
      GrpcCode.unimplemented,
      'grpc: Decompressor is not installed for grpc-encoding "snappy"',
    ],
  ];
  for (const [fields, httpStatus, grpcCode, message] of cases) {
    assert.deepEqual(plan(fields), {
      served: false,
      httpStatus,
      grpcCode,
      message,
      contentType: "application/grpc",
    });
  }
});

test("malformed timeouts are told apart as Go does", () => {
  for (const [text, reason] of [
    ["5", 'transport: timeout string is too short: "5"'],
    ["123456789S", 'transport: timeout string is too long: "123456789S"'],
    ["5x", 'transport: timeout unit is not recognized: "5x"'],
    ["1a2S", 'strconv.ParseInt: parsing "1a2": invalid syntax'],
  ] as const) {
    const { httpStatus, grpcCode, message } = rejectTimeout(text);
    assert.deepEqual(
      { httpStatus, grpcCode, message },
      { httpStatus: 400, grpcCode: 13, message: `malformed grpc-timeout: ${reason}` },
    );
  }
});
