import assert from "node:assert/strict";
import { test } from "node:test";

import { Prng } from "../base/prng.ts";
import { ByteQueue } from "./byte-queue.ts";

test("what is appended comes out in order, whatever its pieces", () => {
  const prng = new Prng(11);
  const queue = new ByteQueue(16);
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 2000; round++) {
    const piece = Uint8Array.from({ length: prng.below(40) }, () => next++ & 0xff);
    queue.append(piece, 0, piece.length);
    const take = prng.below(queue.length + 1);
    for (let i = 0; i < take; i++) assert.equal(queue.bytes[queue.start + i], expected++ & 0xff);
    queue.consume(take);
  }
  assert.equal(next - expected, queue.length);
});

test("a queue that is consumed as fast as it is filled keeps its memory", () => {
  const queue = new ByteQueue(1000);
  const piece = new Uint8Array(250);
  for (let i = 0; i < 3; i++) queue.append(piece, 0, piece.length);
  // 750 bytes wait, always: more than lie consumed in front of them.
  for (let i = 0; i < 1000; i++) {
    queue.append(piece, 0, piece.length);
    queue.consume(piece.length);
  }
  assert.equal(queue.bytes.length, 1000);
});
