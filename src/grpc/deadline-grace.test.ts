import assert from "node:assert/strict";
import { connect, constants } from "node:http2";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { TableLog, testTable } from "../../test/support/grpc-table.ts";
import { listenNative } from "./native-transport.ts";

const WINDOW_BYTES = 1000;
const ANSWER_BYTES = 10_000;
const DEADLINE_MS = 50;

/** Asks for an answer of several windows that has to be complete in {@link DEADLINE_MS}, and reads nothing for `restMs`. */
async function askSlowly(t: TestContext, path: string, restMs: number) {
  const transport = await listenNative({
    services: testTable(new TableLog()),
    limits: {
      receiveBytesMax: 2 * ANSWER_BYTES,
      concurrentStreamsMax: 100,
      keepaliveMinTimeMs: 5000,
      keepaliveIntervalMs: 0,
      keepaliveTimeoutMs: 0,
    },
    listeners: [{ host: "127.0.0.1", port: 0 }],
    http1: null,
  });
  const { port } = transport.addresses()[0] as { port: number };
  const session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: WINDOW_BYTES } });
  t.after(async () => {
    session.destroy();
    await transport.drain(0);
  });
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    "grpc-timeout": `${DEADLINE_MS}m`,
    te: "trailers",
  });
  const message = path.endsWith("Big") ? Buffer.from(String(ANSWER_BYTES)) : Buffer.alloc(ANSWER_BYTES, "x");
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
  let grpcStatus: unknown;
  stream.on("trailers", (trailers) => (grpcStatus = trailers["grpc-status"]));
  stream.on("error", () => undefined);
  await sleep(restMs);
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => (bytes += chunk.length));
  if (!stream.closed) await new Promise((resolve) => stream.on("close", resolve));
  return { bytes, grpcStatus, rstCode: stream.rstCode };
}

for (const path of ["/test.T/Echo", "/test.T/Big"]) {
  test(`${path}: an answer that is under way at its deadline comes whole`, async (t) => {
    const answer = await askSlowly(t, path, 4 * DEADLINE_MS);
    assert.deepEqual(answer, {
      bytes: 5 + ANSWER_BYTES,
      grpcStatus: "0",
      rstCode: constants.NGHTTP2_NO_ERROR,
    });
  });

  test(`${path}: a client that does not read is cut off soon after the deadline`, async (t) => {
    const { bytes, grpcStatus, rstCode } = await askSlowly(t, path, 1500);
    assert.ok(bytes <= WINDOW_BYTES, `${bytes} bytes`);
    assert.equal(grpcStatus, undefined);
    assert.equal(rstCode, constants.NGHTTP2_CANCEL);
  });
}
