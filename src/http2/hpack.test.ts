import assert from "node:assert/strict";
import { test } from "node:test";

import type { HeaderBlock } from "./header-block.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { HEADER_LIST_BYTES_MAX } from "./limits.ts";

function decodeHex(decoder: HpackDecoder, hex: string): string[] | null {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  const block = decoder.decode(bytes, 0, bytes.length);
  return block && block.fields.map((field) => `${field.name}: ${field.value}`);
}

function tableOf(decoder: HpackDecoder): string[] {
  return Array.from({ length: decoder.table.length }, (_, age) => {
    const field = decoder.table.at(age)!;
    return `${field.name}: ${field.value}`;
  });
}

const FIRST = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const SECOND = [...FIRST, "cache-control: no-cache"];
const THIRD = [
  ":method: GET",
  ":scheme: https",
  ":path: /index.html",
  ":authority: www.example.com",
  "custom-key: custom-value",
];

test("RFC 7541 C.2: each representation", () => {
  assert.deepEqual(decodeHex(new HpackDecoder(), "400a637573746f6d2d6b65790d637573746f6d2d686561646572"), [
    "custom-key: custom-header",
  ]);
  const decoder = new HpackDecoder();
  assert.deepEqual(decodeHex(decoder, "040c2f73616d706c652f70617468"), [":path: /sample/path"]);
  assert.deepEqual(decodeHex(decoder, "100870617373776f726406736563726574"), ["password: secret"]);
  assert.deepEqual(tableOf(decoder), [], "not indexed");
  assert.deepEqual(decodeHex(decoder, "82"), [":method: GET"]);
});

for (const [name, blocks] of [
  [
    "RFC 7541 C.3: requests without Huffman",
    [
      "828684410f7777772e6578616d706c652e636f6d",
      "828684be58086e6f2d6361636865",
      "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ],
  ],
  [
    "RFC 7541 C.4: requests with Huffman",
    [
      "828684418cf1e3c2e5f23a6ba0ab90f4ff",
      "828684be5886a8eb10649cbf",
      "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ],
  ],
] as const) {
  test(name, () => {
    const decoder = new HpackDecoder();
    assert.deepEqual(decodeHex(decoder, blocks[0]), FIRST);
    assert.deepEqual(decodeHex(decoder, blocks[1]), SECOND);
    assert.deepEqual(decodeHex(decoder, blocks[2]), THIRD);
    assert.deepEqual(tableOf(decoder), [
      "custom-key: custom-value",
      "cache-control: no-cache",
      ":authority: www.example.com",
    ]);
    assert.equal(decoder.table.bytes, 164);
  });
}

test("RFC 7541 C.6: responses with Huffman, in a table of 256 bytes that evicts", () => {
  const decoder = new HpackDecoder();
  decoder.table.resize(256);
  const first = decodeHex(
    decoder,
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
  );
  assert.deepEqual(first, [
    ":status: 302",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:21 GMT",
    "location: https://www.example.com",
  ]);
  assert.equal(decoder.table.bytes, 222);
  assert.equal(decodeHex(decoder, "4883640effc1c0bf")![0], ":status: 307");
  assert.equal(decoder.table.bytes, 222);
  const third = decodeHex(
    decoder,
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
  );
  assert.equal(third!.at(-1), "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
  assert.equal(decoder.table.bytes, 215);
  assert.equal(decoder.table.length, 3);
});

test("blocks of the same fields share one decoding, however they are encoded", () => {
  const decoder = new HpackDecoder();
  const block = Uint8Array.of(0x82, 0x86, 0x84);
  const first = decoder.decode(block, 0, 3);
  assert.equal(decoder.decode(Uint8Array.of(0, ...block), 1, 4), first);
  const custom = "400a637573746f6d2d6b65790d637573746f6d2d686561646572";
  decodeHex(decoder, custom);
  assert.equal(decoder.decode(block, 0, 3), first);
  const withCustom = decoder.decode(Buffer.from(`82${custom}`, "hex"), 0, custom.length / 2 + 1);
  assert.equal(decoder.decode(Uint8Array.of(0x82, 0xbe), 0, 2), withCustom, "a literal and its index");
  assert.notEqual(decoder.decode(Uint8Array.of(0xbe, 0x82), 0, 2), withCustom, "another order");
  assert.notEqual(decoder.decode(Uint8Array.of(0x82, 0xbe, 0xbe), 0, 3), withCustom, "one more");
  assert.notEqual(decoder.decode(Uint8Array.of(0x82), 0, 1), withCustom, "one less");
});

test("every request may have its own timeout: blocks are shared, the timeout is the last decoded one's", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const requestOf = (path: string, timeout: string): HeaderBlock => {
    encoder.begin();
    encoder.add(":path", path, true);
    encoder.add("te", "trailers", true);
    if (timeout !== "") encoder.add("grpc-timeout", timeout, true);
    return decoder.decode(encoder.bytes, 0, encoder.length)!;
  };
  const put = requestOf("/put", "5S");
  assert.equal(put.grpcTimeout?.timeoutMs, 5_000);
  for (let round = 0; round < 300; round++) {
    // Enough for fields to be evicted and sent again.
    const again = requestOf("/put", `${4_999_999 - round}u`);
    assert.equal(again, put);
    assert.equal(again.grpcTimeout?.value, `${4_999_999 - round}u`);
    assert.equal(again.get("grpc-timeout"), undefined, "it belongs to no block");
    const get = requestOf("/get", `${round}m`);
    assert.notEqual(get, put);
    assert.equal(get.path, "/get");
    assert.equal(get.grpcTimeout?.timeoutMs, round);
  }
  assert.equal(requestOf("/put", "x").grpcTimeout?.timeoutMs, -1);
  const without = requestOf("/put", "");
  assert.notEqual(without, put, "the place of the timeout counts");
  assert.equal(without.grpcTimeout, null);
  for (const timeout of ["7S", "8S", "7S"])
    assert.equal(requestOf("/put", timeout).grpcTimeout?.value, timeout);
  requestOf("/put", "7S");
  encoder.begin();
  encoder.add("grpc-timeout", "1S", true);
  encoder.add(":method", "POST", true);
  assert.equal(decoder.decode(encoder.bytes, 0, encoder.length)!.isTrailers(), false);
});

test("an index means the newest entry after an insertion, even for a block seen before", () => {
  const decoder = new HpackDecoder();
  decodeHex(decoder, "40016101 31".replace(" ", ""));
  assert.deepEqual(decodeHex(decoder, "be"), ["a: 1"]);
  decodeHex(decoder, "4001620132");
  assert.deepEqual(decodeHex(decoder, "be"), ["b: 2"]);
});

test("hostile blocks fail without an exception", () => {
  for (const hex of [
    "80",
    "be",
    "ff80808080808000",
    "7f",
    "4001",
    "400161",
    "40ff",
    "3fe21f",
    "8220",
    "4081ff0131",
  ]) {
    assert.equal(decodeHex(new HpackDecoder(), hex), null, hex);
  }
});

test("a header list that expands beyond its limit is cut off, and the table stays right", () => {
  const decoder = new HpackDecoder();
  const encoder = new HpackEncoder();
  encoder.begin();
  encoder.add("bomb", "x".repeat(4_000), true);
  decoder.decode(encoder.bytes, 0, encoder.length);
  const references = new Uint8Array(60_000).fill(0xbe);
  const block = decoder.decode(references, 0, references.length)!;
  assert.equal(block.tooLarge, true);
  assert.ok(block.fields.length * 4_036 <= HEADER_LIST_BYTES_MAX, "fields kept");
  assert.deepEqual(tableOf(decoder).length, 1);
});

test("a list that is known, with a field behind it that is too long, is not taken for the known one", () => {
  const decoder = new HpackDecoder();
  const known = Buffer.of(0x83, 0x86, 0x84);
  assert.equal(decoder.decode(known, 0, known.length)?.tooLarge, false);
  // "x", and 65,600 times "0" in Huffman's five bits, all of them zero: 41,000 bytes, in HPACK's varint.
  const long = Buffer.concat([known, Buffer.of(0x00, 1, 0x78, 0xff, 0xa9, 0xbf, 0x02), Buffer.alloc(41_000)]);
  const block = decoder.decode(long, 0, long.length);
  assert.deepEqual([block?.tooLarge, block?.fields.length], [true, 3]);
});

test("what the encoder writes, the decoder reads, through evictions and table sizes", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  for (let round = 0; round < 300; round++) {
    if (round === 100) encoder.setTableBytesMax(100);
    if (round === 150) encoder.setTableBytesMax(0);
    if (round === 200) encoder.setTableBytesMax(8_192);
    encoder.begin();
    const fields: [string, string][] = [
      [":status", "200"],
      ["grpc-status", String(round % 20)],
      ["grpc-message", "Ünicode".repeat(round)],
    ];
    for (const [name, value] of fields) encoder.add(name, value, name !== "grpc-message");
    const block = decoder.decode(encoder.bytes, 0, encoder.length)!;
    assert.deepEqual(
      block.fields.map((field) => [field.name, field.value]),
      fields,
    );
    assert.equal(decoder.table.bytes, encoder.table.bytes);
  }
});

test("a repeated field costs one byte", () => {
  const encoder = new HpackEncoder();
  for (const expected of [20, 1]) {
    encoder.begin();
    encoder.add("content-type", "application/grpc", true);
    assert.ok(encoder.length <= expected, `${encoder.length} bytes`);
  }
});
