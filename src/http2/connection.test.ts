import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { frame, grpcHeaders, uint32 } from "../../test/support/http2-peer.ts";
import { Connection } from "./connection.ts";
import { DEFAULT_WINDOW_BYTES, ENHANCE_YOUR_CALM, NO_ERROR, SETTINGS_TIMEOUT } from "./http2.ts";
import { HANDSHAKE_MS_MAX, OUTPUT_BYTES_HIGH, OUTPUT_BYTES_MAX, PENDING_BYTES_HIGH } from "./limits.ts";
import { ChunkPool, OutputQueue } from "./output-queue.ts";
import { Http2Stream } from "./stream.ts";

/** Answers each request with `answerBytes` of DATA, and leaves the end to the test. */
class Answering extends Http2Stream {
  drained = 0;
  resetCode = -1;
  override onRequest(): void {
    this.connection.sender.send(this, answer, 0, answer.length);
  }
  override onData(): void {}
  override onTrailers(): void {}
  override onReset(code: number): void {
    this.resetCode = code;
  }
  override onDrained(): void {
    this.drained++;
  }
  override onClosed(): void {}
  override writeEnd(): void {
    this.connection.writeEmptyEnd(this);
  }
}

let answer = new Uint8Array(0);
let output: OutputQueue;
let connection: Connection;
let opened: Answering[];

beforeEach(() => {
  opened = [];
  output = new OutputQueue(new ChunkPool((bytes) => new Uint8Array(bytes)));
  connection = new Connection({
    pendingTotal: { bytes: 0 },
    output,
    createStream() {
      const stream = new Answering();
      opened.push(stream);
      return stream;
    },
    concurrentStreamsMax: 1_000_000,
    keepalive: { keepaliveMinTimeMs: 1, keepaliveIntervalMs: 0, keepaliveTimeoutMs: 0 },
    nowMs: 0,
  });
});

function receive(...parts: Buffer[]): void {
  const bytes = Buffer.concat(parts);
  connection.receive(bytes, 0, bytes.length, 1);
}

/** As if the socket had written everything. */
function writeOut(): number {
  const views: Uint8Array[] = [];
  output.take(views);
  output.written();
  connection.onWritable();
  return views.reduce((sum, view) => sum + view.length, 0);
}

const WIDE_WINDOWS = Buffer.concat([
  frame(4, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])),
  frame(8, 0, 0, uint32(0x7fff_0000)),
]);

test("a client that sends no SETTINGS is given up", () => {
  connection.tick(HANDSHAKE_MS_MAX);
  assert.equal(connection.finished, false);
  connection.tick(HANDSHAKE_MS_MAX + 1);
  assert.equal(connection.errorCode, SETTINGS_TIMEOUT);
});

test("a header block that does not end is given up", () => {
  receive(frame(4, 0, 0), frame(1, 0, 1, grpcHeaders("/a/b")));
  connection.tick(HANDSHAKE_MS_MAX + 2);
  assert.equal(connection.errorCode, ENHANCE_YOUR_CALM);
});

test("a reader that stops costs one high mark of output; the rest waits in its stream, and drains once", () => {
  answer = new Uint8Array(4 * OUTPUT_BYTES_HIGH);
  receive(WIDE_WINDOWS, frame(1, 5, 1, grpcHeaders("/a/b")));
  assert.ok(output.queuedBytes < OUTPUT_BYTES_HIGH + 20_000, `${output.queuedBytes}`);
  const stream = opened[0];
  const waiting = stream.pendingLength;
  assert.equal(connection.sender.pendingBytes, waiting);
  assert.ok(waiting > 2 * OUTPUT_BYTES_HIGH);
  let written = 0;
  while (output.readyBytes > 0) written += writeOut();
  assert.ok(written > answer.length);
  assert.equal(stream.drained, 1);
  assert.equal(connection.sender.pendingBytes, 0);
});

test("answers that no one reads stop new streams, and at last the connection", () => {
  answer = new Uint8Array(PENDING_BYTES_HIGH / 2 + DEFAULT_WINDOW_BYTES);
  receive(frame(4, 0, 0));
  for (const id of [1, 3, 5, 7]) receive(frame(1, 5, id, grpcHeaders("/a/b")));
  assert.equal(opened.length, 2, "two halves reach the mark");
  assert.equal(connection.finished, false);
  output.reserve(1);
  while (output.queuedBytes <= OUTPUT_BYTES_MAX) output.writeRstStream(1, NO_ERROR);
  receive(frame(6, 0, 0, Buffer.alloc(8)));
  assert.equal(connection.errorCode, ENHANCE_YOUR_CALM);
  assert.deepEqual(
    opened.map((stream) => stream.resetCode),
    [ENHANCE_YOUR_CALM, ENHANCE_YOUR_CALM],
  );
  assert.equal(connection.streams.size, 0);
  assert.equal(connection.sender.pendingBytes, 0);
});

test("streams that wait for the connection's window take turns", () => {
  answer = new Uint8Array(60_000);
  receive(frame(4, 0, 0));
  for (const id of [1, 3, 5]) receive(frame(1, 5, id, grpcHeaders("/a/b")));
  assert.deepEqual(
    opened.map((stream) => stream.pendingLength),
    [0, 60_000 - 5_535, 60_000],
  );
  receive(frame(8, 0, 0, uint32(2 * 16_384)));
  assert.deepEqual(
    opened.map((stream) => stream.pendingLength),
    [0, 60_000 - 5_535 - 16_384, 60_000 - 16_384],
  );
});
