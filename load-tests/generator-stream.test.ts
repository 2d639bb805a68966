import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../src/base/prng.ts";
import { MessageSplitter } from "./generator-stream.ts";
import { framed } from "./requests.ts";

test("messages come whole however the body is cut", () => {
  const prng = new Prng(4);
  const sent = Array.from({ length: 400 }, () => Buffer.alloc(prng.below(40), prng.below(256)));
  const body = Buffer.concat(sent.map((message) => framed(message)));
  const got: Buffer[] = [];
  const splitter = new MessageSplitter({
    onMessage: (bytes, start, end) => got.push(Buffer.from(bytes.subarray(start, end))),
  });
  for (let at = 0; at < body.length;) {
    const end = Math.min(body.length, at + 1 + prng.below(at % 3 === 0 ? 4 : 90));
    // Shifted in its buffer, as a DATA frame's payload is; and overwritten afterwards, as it is only borrowed.
    const piece = Buffer.concat([Buffer.alloc(9), body.subarray(at, end)]);
    splitter.push(piece, 9, piece.length);
    piece.fill(0xff);
    at = end;
  }
  assert.deepEqual(got, sent);
});
