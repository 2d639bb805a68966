/** HPACK on its own: a repeated request block (the cached path), one with a new timeout each time as grpc-go sends it, and a response. */
import { HeaderField } from "../src/http2/header-field.ts";
import { HpackDecoder } from "../src/http2/hpack-decoder.ts";
import { HpackEncoder } from "../src/http2/hpack-encoder.ts";
import { huffmanEncode } from "../src/http2/huffman.ts";

const ROUNDS = 1_000_000;
/** The fastest of so many batches counts: the others share the machine. */
const BATCHES = 20;
const STATIC_FIELDS = 61;

function requestBlock(encoder: HpackEncoder, timeout: string): Uint8Array {
  encoder.begin();
  encoder.add(":method", "POST", true);
  encoder.add(":scheme", "http", true);
  encoder.add(":path", "/etcdserverpb.KV/Put", true);
  encoder.add(":authority", "127.0.0.1:2379", true);
  encoder.add("content-type", "application/grpc", true);
  encoder.add("user-agent", "grpc-go/1.71.1", true);
  encoder.add("te", "trailers", true);
  const before = encoder.bytes.slice(0, encoder.length);
  return timeout === "" ? before : Buffer.concat([before, timeoutField(encoder, timeout)]);
}

/** Go's encoder takes the name from the dynamic table, where ours, made for responses, would spell it out. */
function timeoutField(encoder: HpackEncoder, timeout: string): Uint8Array {
  const { table } = encoder;
  let age = 0;
  while (age < table.length && table.at(age)!.name !== "grpc-timeout") age++;
  if (age === table.length) {
    const start = encoder.length;
    encoder.add("grpc-timeout", timeout, true);
    return encoder.bytes.slice(start, encoder.length);
  }
  const index = STATIC_FIELDS + 1 + age;
  const value = new Uint8Array(64);
  const length = huffmanEncode(timeout, value, 0);
  table.insert(HeaderField.of("grpc-timeout", timeout));
  const name = index < 63 ? [0x40 | index] : [0x7f, index - 63];
  return Uint8Array.of(...name, 0x80 | length, ...value.subarray(0, length));
}

function measure(name: string, rounds: number, run: (round: number) => void): void {
  let best = Infinity;
  for (let batch = 0; batch < BATCHES; batch++) {
    const start = performance.now();
    for (let round = 0; round < rounds / BATCHES; round++) run(round);
    best = Math.min(best, ((performance.now() - start) * 1e6) / (rounds / BATCHES));
  }
  console.log(`${name}: ${best.toFixed(0)} ns`);
}

{
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const first = requestBlock(encoder, "");
  decoder.decode(first, 0, first.length);
  const repeated = requestBlock(encoder, "");
  measure("decode, repeated block", ROUNDS, () => decoder.decode(repeated, 0, repeated.length));
}
{
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const blocks = Array.from({ length: 440_000 }, (_, round) =>
    requestBlock(encoder, `${4_999_000 - round}u`),
  );
  let next = 0;
  measure("decode, a new grpc-timeout each time", 400_000, () => {
    const block = blocks[next++];
    if (decoder.decode(block, 0, block.length) === null) throw new Error("not decoded");
  });
}
{
  const encoder = new HpackEncoder();
  measure("encode, trailers of an error", ROUNDS, () => {
    encoder.begin();
    encoder.add("grpc-status", "5", true);
    encoder.add("grpc-message", "etcdserver: requested lease not found", false);
  });
}
