/** HPACK on its own: a repeated request block (the cached path), one with a new timeout each time as grpc-go sends it, and a response. */
import { HpackDecoder } from "../src/http2/hpack-decoder.ts";
import { HpackEncoder } from "../src/http2/hpack-encoder.ts";

const ROUNDS = 1_000_000;

function requestBlock(encoder: HpackEncoder, timeout: string): Uint8Array {
  encoder.begin();
  encoder.add(":method", "POST", true);
  encoder.add(":scheme", "http", true);
  encoder.add(":path", "/etcdserverpb.KV/Put", true);
  encoder.add(":authority", "127.0.0.1:2379", true);
  encoder.add("content-type", "application/grpc", true);
  encoder.add("user-agent", "grpc-go/1.71.1", true);
  encoder.add("te", "trailers", true);
  if (timeout !== "") encoder.add("grpc-timeout", timeout, true);
  return encoder.bytes.slice(0, encoder.length);
}

function measure(name: string, rounds: number, run: (round: number) => void): void {
  for (let round = 0; round < rounds / 10; round++) run(round);
  const start = performance.now();
  for (let round = 0; round < rounds; round++) run(round);
  console.log(`${name}: ${(((performance.now() - start) * 1e6) / rounds).toFixed(0)} ns`);
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
  const blocks = Array.from({ length: 110_000 }, (_, round) => requestBlock(encoder, `${4_999_000 - round}u`));
  let next = 0;
  measure("decode, a new grpc-timeout each time", 100_000, () => {
    const block = blocks[next++];
    decoder.decode(block, 0, block.length);
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
