import assert from "node:assert/strict";
import { connect, constants } from "node:http2";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { TableLog, testTable } from "../../test/support/grpc-table.ts";
import { listenForTest } from "../../test/support/grpc-listener.ts";
import { grpcMessage } from "../../test/support/http2-peer.ts";

const WINDOW_BYTES = 1000;
const ANSWER_BYTES = 10_000;
const DEADLINE_MS = 50;

/** Asks for an answer of several windows that has to be complete in {@link DEADLINE_MS}, and reads nothing for `restMs`. */
async function askSlowly(t: TestContext, path: string, restMs: number) {
  const { port } = await listenForTest(t, { services: testTable(new TableLog()) });
  const session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: WINDOW_BYTES } });
  t.after(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    "grpc-timeout": `${DEADLINE_MS}m`,
    te: "trailers",
  });
  stream.end(grpcMessage(path.endsWith("Big") ? String(ANSWER_BYTES) : "x".repeat(ANSWER_BYTES)));
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
