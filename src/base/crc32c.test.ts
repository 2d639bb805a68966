import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "./crc32c.ts";

/** The definition, a bit at a time. */
function crc32cSlow(crc: number, bytes: Uint8Array): number {
  let c = ~crc;
  for (const byte of bytes) {
    c ^= byte;
    for (let bit = 0; bit < 8; bit++) c = (c & 1) !== 0 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  }
  return ~c >>> 0;
}

test("the check value of CRC-32C and the vectors of RFC 3720 B.4", () => {
  assert.equal(crc32c(0, new TextEncoder().encode("123456789"), 0, 9), 0xe3069283);
  assert.equal(crc32c(0, new Uint8Array(32), 0, 32), 0x8a9136aa);
  assert.equal(crc32c(0, new Uint8Array(32).fill(0xff), 0, 32), 0x62a8ab43);
  assert.equal(
    crc32c(
      0,
      Uint8Array.from({ length: 32 }, (_, i) => i),
      0,
      32,
    ),
    0x46dd794e,
  );
});

test("every length and split agrees with the definition", () => {
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => (i * 37 + 11) & 0xff);
  for (let length = 0; length <= 80; length++) {
    const expected = crc32cSlow(0, bytes.subarray(3, 3 + length));
    assert.equal(crc32c(0, bytes, 3, 3 + length), expected, `length ${length}`);
    const middle = 3 + (length >> 1);
    assert.equal(
      crc32c(crc32c(0, bytes, 3, middle), bytes, middle, 3 + length),
      expected,
      `split of ${length}`,
    );
  }
});
