import assert from "node:assert/strict";
import { test } from "node:test";

import { huffmanBytes, huffmanDecode, huffmanEncode } from "./huffman.ts";

function encode(text: string): Uint8Array {
  const bytes = new Uint8Array(huffmanBytes(text));
  assert.equal(huffmanEncode(text, bytes, 0), bytes.length);
  return bytes;
}

function decode(bytes: Uint8Array): string | null {
  const target = new Uint8Array(bytes.length * 2 + 8);
  const length = huffmanDecode(bytes, 0, bytes.length, target);
  return length < 0 ? null : Buffer.from(target.subarray(0, length)).toString("latin1");
}

test("strings of RFC 7541 appendix C encode to its bytes and back", () => {
  const vectors: [string, string][] = [
    ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
    ["no-cache", "a8eb10649cbf"],
    ["custom-key", "25a849e95ba97d7f"],
    ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
    [
      "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
      "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ],
  ];
  for (const [text, hex] of vectors) {
    assert.equal(Buffer.from(encode(text)).toString("hex"), hex);
    assert.equal(decode(Buffer.from(hex, "hex")), text);
  }
});

test("every byte survives", () => {
  const all = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join("");
  assert.equal(decode(encode(all)), all);
});

test("padding must be shorter than a byte and all ones, and EOS must not occur", () => {
  assert.equal(decode(Uint8Array.of(0x1f)), "a");
  assert.equal(decode(Uint8Array.of(0x1f, 0xff)), null, "eight bits of padding");
  assert.equal(decode(Uint8Array.of(0x18)), null, "padding of zeros");
  assert.equal(decode(Uint8Array.of(0xff, 0xff, 0xff, 0xff)), null, "EOS");
});
