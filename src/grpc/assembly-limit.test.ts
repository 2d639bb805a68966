/** Request messages that never come to their end cost a bounded amount of memory, of all connections together. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { listenForTest, TEST_LIMITS } from "../../test/support/grpc-listener.ts";
import { TableLog, testTable } from "../../test/support/grpc-table.ts";
import { frame, grpcHeaders, grpcMessage, Http2Peer } from "../../test/support/http2-peer.ts";

const TOTAL_BYTES = 100_000;
/** Half of it twice is too much, with the buffers' growth. */
const MESSAGE = grpcMessage(Buffer.alloc(70_000, 0x78));
const FRAME_BYTES = 16_000;

/** DATA of stream 1 with `bytes`. */
function data(bytes: Buffer, end: boolean): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += FRAME_BYTES) {
    const isLast = end && at + FRAME_BYTES >= bytes.length;
    frames.push(frame(0, isLast ? 1 : 0, 1, bytes.subarray(at, at + FRAME_BYTES)));
  }
  return frames;
}

test("unfinished messages of all connections share one limit; what ends, or goes away, makes room", async (t) => {
  const { port } = await listenForTest(t, {
    services: testTable(new TableLog()),
    limits: { ...TEST_LIMITS, assemblyBytesTotalMax: TOTAL_BYTES },
  });
  const open = async (): Promise<Http2Peer> => {
    const peer = await Http2Peer.connect(port);
    t.after(() => peer.close());
    return peer;
  };
  const begin = async (): Promise<Http2Peer> => {
    const peer = await open();
    peer.write(frame(1, 4, 1, grpcHeaders("/test.T/Echo")), ...data(MESSAGE.subarray(0, 60_000), false));
    await peer.roundTrip();
    return peer;
  };
  const finish = (peer: Http2Peer): void => peer.write(...data(MESSAGE.subarray(60_000), true));

  const first = await begin();
  const second = await begin();
  const refused = await second.frame(({ type }) => type === 1);
  assert.equal(refused.flags & 1, 1, "trailers only");
  assert.match(refused.payload.toString("latin1"), /too many unfinished request messages on the server/);
  finish(first);
  await first.frame(({ type }) => type === 0);

  const third = await begin();
  assert.ok(
    third.frames.every(({ type }) => type !== 1),
    "the first message's room is free",
  );
  third.close();
  // Its memory goes with it: a message after it is not refused.
  const fourth = await open();
  await fourth.roundTrip();
  fourth.write(frame(1, 4, 1, grpcHeaders("/test.T/Echo")), ...data(MESSAGE, true));
  await fourth.frame(({ type }) => type === 0);
});
