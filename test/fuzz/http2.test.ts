/** Hostile bytes against the HPACK decoder and the connection: no exception, bounded state, and chunking changes nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { Prng } from "../../src/base/prng.ts";
import { Connection } from "../../src/http2/connection.ts";
import { HpackDecoder } from "../../src/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../src/http2/hpack-encoder.ts";
import { HEADER_TABLE_BYTES_MAX } from "../../src/http2/limits.ts";
import { ChunkPool, OutputQueue } from "../../src/http2/output-queue.ts";
import { Http2Stream } from "../../src/http2/stream.ts";
import { frame, grpcHeaders } from "../support/http2-peer.ts";
import { SEED } from "../support/seed.ts";

const RUN_MS = 500;

/** Answers every request with what it received, and writes down what it saw. */
class RecordingStream extends Http2Stream {
  readonly log: string[];
  constructor(log: string[]) {
    super();
    this.log = log;
  }
  override onRequest(headers: { path: string | undefined }, endStream: boolean): void {
    this.log.push(`${this.id} request ${headers.path} ${endStream}`);
    if (endStream) this.connection.writeEmptyEnd(this);
  }
  override onData(bytes: Uint8Array, start: number, end: number, endStream: boolean): void {
    this.log.push(`${this.id} data ${Buffer.from(bytes.subarray(start, end)).toString("hex")} ${endStream}`);
    this.connection.sender.send(this, bytes, start, end);
    if (endStream) this.#end();
  }
  override onTrailers(): void {
    this.log.push(`${this.id} trailers`);
    this.#end();
  }
  override onReset(code: number): void {
    this.log.push(`${this.id} reset ${code}`);
  }
  override onDrained(): void {}
  override onClosed(): void {}
  override writeEnd(): void {
    this.connection.writeEmptyEnd(this);
  }
  #end(): void {
    if (this.pendingLength > 0) this.endWanted = true;
    else this.writeEnd();
  }
}

interface Outcome {
  readonly log: string[];
  readonly output: string;
  readonly errorCode: number;
}

/** Runs `input` through a connection, in pieces that `nextLength` chooses. */
function run(input: Uint8Array, nextLength: () => number): Outcome {
  const log: string[] = [];
  const output = new OutputQueue(new ChunkPool((bytes) => new Uint8Array(bytes)));
  const connection = new Connection({
    pendingTotal: { bytes: 0 },
    output,
    createStream: () => new RecordingStream(log),
    concurrentStreamsMax: 100,
    keepalive: { keepaliveMinTimeMs: 1, keepaliveIntervalMs: 0, keepaliveTimeoutMs: 0 },
    nowMs: 0,
  });
  for (let at = 0; at < input.length;) {
    const end = Math.min(input.length, at + nextLength());
    // A copy, overwritten afterwards: nothing may keep what was only borrowed.
    const chunk = new Uint8Array(input.subarray(at, end));
    connection.receive(chunk, 0, chunk.length, 1);
    chunk.fill(0xaa);
    at = end;
  }
  const views: Uint8Array[] = [];
  output.take(views);
  assert.ok(connection.streams.size <= 100);
  // WINDOW_UPDATEs of the connection are coalesced per chunk, so only they may depend on the chunking: none are due in so few bytes.
  return { log, output: Buffer.concat(views).toString("hex"), errorCode: connection.errorCode };
}

function randomBytes(prng: Prng, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => prng.below(256)));
}

/** A conversation that is mostly right. */
function conversation(prng: Prng): Buffer {
  const parts: Buffer[] = [frame(4, 0, 0)];
  let nextId = 1;
  for (let i = prng.below(30); i > 0; i--) {
    const id = 1 + 2 * prng.below(Math.max(1, nextId >> 1));
    const choice = prng.below(12);
    if (choice < 4) {
      parts.push(frame(1, 4 | prng.below(2), nextId, grpcHeaders(`/a/${prng.below(3)}`)));
      nextId += 2;
    } else if (choice < 7) parts.push(frame(0, prng.below(2), id, randomBytes(prng, prng.below(300))));
    else if (choice === 7) parts.push(frame(8, 0, prng.below(2) * id, Buffer.of(0, 0, prng.below(256), 1)));
    else if (choice === 8) parts.push(frame(6, 0, 0, randomBytes(prng, 8)));
    else if (choice === 9) parts.push(frame(3, 0, id, randomBytes(prng, 4)));
    else if (choice === 10)
      parts.push(frame(4, 0, 0, Buffer.of(0, 4, 0, 0, prng.below(256), prng.below(256))));
    else parts.push(frame(prng.below(16), prng.below(256), id, randomBytes(prng, prng.below(40))));
  }
  const bytes = Buffer.concat(parts);
  for (let i = prng.chance(0.5) ? prng.below(4) : 0; i > 0; i--)
    bytes[prng.below(bytes.length)] = prng.below(256);
  return bytes;
}

test("a connection handles any bytes, and handles them the same in any chunks", (context) => {
  context.diagnostic(`SEED=${SEED}`);
  const prng = new Prng(SEED);
  const deadline = performance.now() + RUN_MS;
  let clean = 0;
  for (let round = 0; performance.now() < deadline || round < 20; round++) {
    const input = prng.chance(0.1) ? randomBytes(prng, prng.below(2_000)) : conversation(prng);
    const whole = run(input, () => input.length);
    const pieces = run(input, () => 1 + prng.below(prng.chance(0.5) ? 3 : 200));
    assert.deepEqual(pieces, whole, `SEED=${SEED} round ${round}`);
    if (whole.errorCode === 0 && whole.log.length > 3) clean++;
  }
  assert.ok(clean > 0, "some conversations must go well, or this tests errors only");
});

test("the HPACK decoder survives random and mutated blocks, with its table in bounds", (context) => {
  context.diagnostic(`SEED=${SEED}`);
  const prng = new Prng(SEED);
  const deadline = performance.now() + RUN_MS;
  let decoder = new HpackDecoder();
  let encoder = new HpackEncoder();
  let decoded = 0;
  for (let round = 0; performance.now() < deadline || round < 100; round++) {
    encoder.begin();
    for (let i = prng.below(8); i > 0; i--)
      encoder.add(`name-${prng.below(40)}`, "v".repeat(prng.below(200)), prng.chance(0.7));
    const block = prng.chance(0.2)
      ? randomBytes(prng, prng.below(200))
      : Buffer.from(encoder.bytes.subarray(0, encoder.length));
    for (let i = prng.below(3); i > 0 && block.length > 0; i--)
      block[prng.below(block.length)] = prng.below(256);
    const result = decoder.decode(block, 0, block.length);
    assert.ok(decoder.table.bytes <= HEADER_TABLE_BYTES_MAX && decoder.table.length <= 128, `SEED=${SEED}`);
    if (result !== null) decoded++;
    if (result === null || prng.chance(0.05)) {
      decoder = new HpackDecoder();
      encoder = new HpackEncoder();
    }
  }
  assert.ok(decoded > 0);
});
