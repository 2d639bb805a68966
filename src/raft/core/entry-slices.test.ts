import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { EntrySchema } from "../../proto/gen/raft_pb.ts";
import { EntryType } from "../raft.ts";
import { countEntries, encodedBytesOf, entryEncodedBytes, payloadBytesOf } from "./entry-size.ts";
import { MemoryBatch } from "./memory-entry-store.ts";
import { copyData, copySlices, singleEntry } from "./entry-slices.ts";

const ENTRIES = ["", "one", "", "three", "4"].map((text, i) => ({
  type: i === 3 ? EntryType.confChange : EntryType.normal,
  term: 2 + i,
  index: 7 + i,
  data: new TextEncoder().encode(text),
}));

void test("a copy of slices holds the same entries and owns its bytes", () => {
  const batch = new MemoryBatch(ENTRIES);
  const slices = [
    { batch, from: 1, count: 2 },
    { batch, from: 3, count: 2 },
  ];
  const copied = copySlices(slices);
  batch.bytes.fill(0);
  assert.equal(copied.length, 1);
  const [{ batch: copy, from, count }] = copied;
  assert.deepEqual([from, count, copy.firstIndex, copy.count], [0, 4, 8, 4]);
  const read = Array.from({ length: count }, (_, i) => ({
    type: copy.type(i),
    term: copy.term(i),
    index: copy.firstIndex + i,
    data: copy.bytes.slice(copy.dataStart(i), copy.dataEnd(i)),
  }));
  assert.deepEqual(read, ENTRIES.slice(1));
  assert.deepEqual(copySlices([]), []);
});

void test("sizes count what is in the slices", () => {
  const batch = new MemoryBatch(ENTRIES);
  const slices = [{ batch, from: 1, count: 3 }];
  assert.equal(countEntries(slices), 3);
  assert.equal(payloadBytesOf(slices), 8);
  const encoded = ENTRIES.slice(1, 4).map(({ term, index, data }) =>
    entryEncodedBytes(term, index, data.length),
  );
  assert.equal(
    encodedBytesOf(slices),
    encoded.reduce((sum, bytes) => sum + bytes),
  );
});

void test("encoded sizes are those of raftpb.Entry", () => {
  for (const [term, index, dataBytes] of [
    [0, 0, 1],
    [1, 127, 5],
    [128, 128, 127],
    [2 ** 31, 2 ** 40, 128],
    [2 ** 53 - 1, 2 ** 53 - 1, 70_000],
  ]) {
    const entry = create(EntrySchema, {
      Type: EntryType.normal,
      Term: BigInt(term),
      Index: BigInt(index),
      Data: new Uint8Array(dataBytes),
    });
    assert.equal(entryEncodedBytes(term, index, dataBytes), toBinary(EntrySchema, entry).length);
  }
  assert.equal(entryEncodedBytes(1, 1, 0), 6, "empty data is left out");
});

void test("the data of a single entry can be taken out, also of a Buffer", () => {
  for (const data of [new TextEncoder().encode("context"), Buffer.from("context")]) {
    const [slice] = singleEntry(data);
    const taken = copyData(slice);
    data.fill(0);
    assert.deepEqual(taken, new TextEncoder().encode("context"));
  }
});
