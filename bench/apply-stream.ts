/**
 * A Range over 1 M keys of 256 B, streamed: longest slice, memory beyond the store's, bytes a second.
 * Run: node --expose-gc bench/apply-stream.ts [keys]
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { ApplyMachine } from "../src/apply/apply-machine.ts";
import { ProposerIds } from "../src/apply/proposer-ids.ts";
import type { ResponseSink } from "../src/apply/apply-interfaces.ts";
import { createMvccStore } from "../src/mvcc/mvcc.ts";
import { RangeRequestSchema, type RangeRequest } from "../src/proto/gen/rpc_pb.ts";
import { ReadKind } from "../src/ring/record-types.ts";

/** Credit ahead of what was taken, as the router gives it. */
const WINDOW_BYTES = 256 * 1024;
const KEYS = Number(process.argv[2] ?? 1_000_000);
const nothing = (): void => {};

class CountingSink implements ResponseSink {
  bytes = new Uint8Array(1 << 20);
  readonly reserveBytesMax = 1 << 20;
  sent = 0;
  announced = 0;
  unacknowledged = 0;
  reserve(): number {
    return 0;
  }
  commit(_requestId: number, length: number): void {
    this.sent += length;
  }
  respond(_requestId: number, _bytes: Uint8Array, start: number, end: number): void {
    this.sent += end - start;
  }
  fail(): void {
    throw new Error("failed");
  }
  streamHead(_requestId: number, totalBytes: number): void {
    this.announced = totalBytes;
  }
  streamData(_requestId: number, _bytes: Uint8Array, start: number, end: number): void {
    this.sent += end - start;
    this.unacknowledged += end - start;
  }
  hasRoom(): boolean {
    return true;
  }
}

const sink = new CountingSink();
const store = createMvccStore({
  source: { getRevision: () => undefined },
  sink: { putRevision: nothing, putTombstone: nothing, deleteRevision: nothing },
  valueBytesMax: 1024 << 20,
});
const machine = new ApplyMachine({
  store,
  clusterId: 1n,
  memberId: 2n,
  responses: sink,
  buckets: { bucketPut: nothing, bucketDelete: nothing, flush: nothing },
  requests: {
    applyRequest: () => false,
    applyV2Request: nothing,
    applyConfChange: nothing,
    applyEmptyEntry: nothing,
  },
  consistentIndex: 0,
  consistentTerm: 2,
  ids: new ProposerIds({ memberId: 2n, bootId: 0, bootIndex: 0, bootTerm: 0 }),
});
const value = new Uint8Array(256);
for (let i = 0; i < KEYS; i++) {
  const key = new TextEncoder().encode(`/registry/pods/default/pod-${i.toString().padStart(8, "0")}`);
  for (let j = 0; j < 16; j++) value[j] = (i * (j + 7)) & 255;
  store.beginTxn();
  store.put(key, 0, key.length, value, 0, value.length, 0, 0);
  store.endTxn();
  if (i % 10_000 === 0) store.committed(store.revision);
}

function measure(name: string, options: Partial<RangeRequest>): void {
  const request = create(RangeRequestSchema, { key: new Uint8Array(1), rangeEnd: new Uint8Array(1) });
  Object.assign(request, options);
  const bytes = toBinary(RangeRequestSchema, request);
  globalThis.gc?.();
  sink.sent = sink.announced = sink.unacknowledged = 0;
  const before = process.memoryUsage();
  const started = performance.now();
  const slices: number[] = [];
  let memory = 0;
  machine.read(1, ReadKind.range, bytes, 0, bytes.length);
  machine.credit(1, WINDOW_BYTES);
  slices.push(performance.now() - started);
  for (;;) {
    const sliceStarted = performance.now();
    const more = machine.runSlice();
    slices.push(performance.now() - sliceStarted);
    if (!more) break;
    machine.credit(1, sink.unacknowledged);
    sink.unacknowledged = 0;
    if (slices.length % 256 === 0) {
      const now = process.memoryUsage();
      memory = Math.max(memory, now.heapUsed + now.arrayBuffers - before.heapUsed - before.arrayBuffers);
    }
  }
  slices.sort((a, b) => a - b);
  const at = (share: number): string => slices[Math.floor((slices.length - 1) * share)].toFixed(3);
  console.log(
    `${name}: ${(sink.sent / 1e6).toFixed(1)} MB in ${(performance.now() - started).toFixed(0)} ms, ${slices.length} slices, ` +
      `p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms wall, memory +${(memory / 1e6).toFixed(1)} MB`,
  );
}

for (let round = 0; round < 2; round++) {
  measure("in key order", {});
  measure("keys only", { keysOnly: true });
  measure("by mod revision, descending", { sortTarget: 3, sortOrder: 2 });
  measure("by value, keys only", { sortTarget: 4, keysOnly: true });
}
