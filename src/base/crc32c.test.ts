import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "./crc32c.ts";
import { Prng } from "./prng.ts";

/** Bit by bit, straight from the definition. */
function crc32cByBit(bytes: Uint8Array): number {
  let state = 0xffff_ffff;
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit++) state = (state & 1) !== 0 ? (state >>> 1) ^ 0x82f6_3b78 : state >>> 1;
  }
  return ~state >>> 0;
}

test("the check value of the CRC catalogue", () => {
  const bytes = new TextEncoder().encode("123456789");
  assert.equal(crc32c(0, bytes, 0, bytes.length), 0xe306_9283);
});

test("RFC 3720 B.4: 32 bytes of zeros and of ones", () => {
  assert.equal(crc32c(0, new Uint8Array(32), 0, 32), 0x8a91_36aa);
  assert.equal(crc32c(0, new Uint8Array(32).fill(0xff), 0, 32), 0x62a8_ab43);
});

test("agrees with the definition at every length and split", () => {
  const prng = new Prng(7);
  const bytes = Uint8Array.from({ length: 67 }, () => prng.below(256));
  for (let start = 0; start < 9; start++) {
    for (let end = start; end <= bytes.length; end++) {
      const expected = crc32cByBit(bytes.subarray(start, end));
      const middle = start + prng.below(end - start + 1);
      assert.equal(crc32c(crc32c(0, bytes, start, middle), bytes, middle, end), expected);
    }
  }
});
