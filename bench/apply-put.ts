/**
 * One Put through the apply layer with the real store: entry bytes to index, value and answer. Also the checks before it and
 * a one-key Range. Run: node bench/apply-put.ts
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { ApplyMachine } from "../src/apply/apply-machine.ts";
import { ProposerIds } from "../src/apply/proposer-ids.ts";
import type { ResponseSink } from "../src/apply/apply-interfaces.ts";
import { checkPut } from "../src/apply/validate-kv.ts";
import { checkTxn } from "../src/apply/validate-txn.ts";
import { Prng } from "../src/base/prng.ts";
import { createMvccStore } from "../src/mvcc/mvcc.ts";
import { PutRequestSchema, RangeRequestSchema, TxnRequestSchema } from "../src/proto/gen/rpc_pb.ts";
import { RaftField, raftRequestBytes, writeRaftRequest } from "../src/proto/raft-request.ts";
import { ReadKind } from "../src/ring/record-types.ts";

const KEYS = 200_000;
const PUTS = 1_000_000;
const COMMIT_EVERY = 2000;
const MEMBER_ID = 0x1234n;

/** Takes answers and forgets them. */
class NullSink implements ResponseSink {
  bytes = new Uint8Array(1 << 20);
  readonly reserveBytesMax = 1 << 20;
  reserve(): number {
    return 0;
  }
  commit(): void {}
  respond(): void {}
  fail(): void {
    throw new Error("failed");
  }
  streamHead(): void {}
  streamData(): void {}
  hasRoom(): boolean {
    return true;
  }
}

const nothing = (): void => {};
const store = createMvccStore({
  source: { getRevision: () => undefined },
  sink: { putRevision: nothing, putTombstone: nothing, deleteRevision: nothing },
  valueBytesMax: 512 << 20,
});
const machine = new ApplyMachine({
  store,
  clusterId: 1n,
  memberId: MEMBER_ID,
  responses: new NullSink(),
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

const prng = new Prng(1);
const value = new Uint8Array(256).fill(7);
const keyOf = (i: number): Uint8Array =>
  new TextEncoder().encode(`/registry/pods/default/pod-${i.toString().padStart(8, "0")}`);
const puts = Array.from({ length: 4096 }, () =>
  toBinary(PutRequestSchema, create(PutRequestSchema, { key: keyOf(prng.below(KEYS)), value })),
);
const entries = puts.map((put) => {
  const entry = new Uint8Array(raftRequestBytes(RaftField.put, put.length, 1, 0x1234_0000));
  writeRaftRequest(entry, 0, RaftField.put, put, 0, put.length, 1, 0x1234_0000);
  return entry;
});

/** Prints CPU and wall time of one run; CPU time stands still while other processes have the core. */
function report(name: string, count: number, run: (i: number) => void): void {
  const started = performance.now();
  const cpu = process.threadCpuUsage();
  for (let i = 0; i < count; i++) run(i);
  const { user, system } = process.threadCpuUsage(cpu);
  const wall = (1000 * (performance.now() - started)) / count;
  console.log(`${name}: ${((user + system) / count).toFixed(3)} us CPU, ${wall.toFixed(3)} us wall`);
}

let index = 0;
function apply(entry: Uint8Array): void {
  machine.applyEntry(++index, 2, 0, entry, 0, entry.length);
  if (index % COMMIT_EVERY === 0) store.committed(store.revision);
}

// Every key exists before the measured puts; keys are patched in place so that all of them take part.
const DIGITS_AT =
  entries[0].findIndex((_, i) => String.fromCharCode(...entries[0].subarray(i, i + 4)) === "pod-") + 4;
function withKey(entry: Uint8Array, digitsAt: number, i: number): Uint8Array {
  for (let place = digitsAt + 7; place >= digitsAt; place--, i = Math.floor(i / 10))
    entry[place] = 48 + (i % 10);
  return entry;
}
report(`first put of ${KEYS} keys`, KEYS, (i) => apply(withKey(entries[0], DIGITS_AT, i)));
for (let round = 0; round < 3; round++) {
  report("put over an existing key, at random", PUTS / 3, (i) =>
    apply(withKey(entries[i & 4095], DIGITS_AT, prng.below(KEYS))),
  );
}
const ranges = Array.from({ length: 4096 }, () =>
  toBinary(RangeRequestSchema, create(RangeRequestSchema, { key: keyOf(prng.below(KEYS)) })),
);
report("range of one key, at random", PUTS, (i) =>
  machine.read(i, ReadKind.range, ranges[i & 4095], 0, ranges[i & 4095].length),
);
const range1000 = toBinary(
  RangeRequestSchema,
  create(RangeRequestSchema, { key: keyOf(1000), rangeEnd: keyOf(2000) }),
);
report("range of 1,000 keys", 2000, (i) => machine.read(i, ReadKind.range, range1000, 0, range1000.length));
report("check of a put", PUTS, (i) => checkPut(puts[i & 4095], 0, puts[i & 4095].length));
const txn = toBinary(
  TxnRequestSchema,
  create(TxnRequestSchema, {
    compare: [{ key: keyOf(1), target: 2, targetUnion: { case: "modRevision", value: 0n } }],
    success: [{ request: { case: "requestPut", value: { key: keyOf(1), value } } }],
    failure: [{ request: { case: "requestRange", value: { key: keyOf(1) } } }],
  }),
);
report("check of a txn (compare, put, range)", PUTS, () => checkTxn(txn, 0, txn.length, 128));
const txnEntry = new Uint8Array(raftRequestBytes(RaftField.txn, txn.length, 1, 0x1234_0000));
writeRaftRequest(txnEntry, 0, RaftField.txn, txn, 0, txn.length, 1, 0x1234_0000);
report("txn (compare, range)", PUTS / 4, () => apply(txnEntry));
