import assert from "node:assert/strict";
import { test } from "node:test";
import { Doorbell, createDoorbellMemory } from "../ring/doorbell.ts";
import { RecordType } from "../ring/record-types.ts";
import { SharedRingReader, SharedRingWriter, createRingMemory } from "../ring/shared-ring.ts";
import { MemoryLog } from "../wal/memory-log.ts";
import { ApplyFeed } from "./apply-feed.ts";
import { EntryLog } from "./entry-log.ts";
import { ReadQueue } from "./read-queue.ts";

const RING_BYTES = 4096;
const ENTRY_PREFIX_BYTES = 16;

test("an entry longer than the ring goes over in parts, and nothing comes between", async () => {
  const lengths = [10, 3 * RING_BYTES, 20, 10 * RING_BYTES, 30];
  const entries = new EntryLog({
    storage: new MemoryLog(),
    recovered: [],
    lastIndex: 0,
    appliedIndex: 0,
    appliedTerm: 0,
  });
  const dataOf = (index: number): Uint8Array => new Uint8Array(lengths[index - 1]).map((_, i) => i * index);
  for (let index = 1; index <= lengths.length; index++)
    entries.appendEntry(0, 1, index, dataOf(index), 0, lengths[index - 1]);
  entries.flushed(await entries.flush());
  const memory = createRingMemory(RING_BYTES);
  const writer = new SharedRingWriter(memory, new Doorbell(createDoorbellMemory()));
  const reader = new SharedRingReader(memory);
  const reads = new ReadQueue();
  const read = Uint8Array.of(7);
  reads.push(1, 0, 1000, read, 0, 1);
  reads.confirm(1, 2);
  const feed = new ApplyFeed(writer, entries, reads, 0, null);
  const found: string[] = [];
  let leaders = 0;
  let passed = 0;
  for (let turn = 0; feed.handedIndex < lengths.length || leaders === 0; turn++) {
    assert.ok(turn < 100);
    feed.handOver(lengths.length);
    // What else raft tells apply meanwhile.
    if (feed.handedIndex >= 1 && leaders === 0 && feed.leader(1, 5n, true)) leaders++;
    if (feed.tryRead(0, 0, 2000, read, 0, 1)) passed++;
    feed.passOn(RecordType.slowRequest, 0, 3000, read, 0, 1);
    feed.publish();
    reader.drain((type, _flags, id, bytes, start, end) => {
      if (type !== RecordType.entry) {
        if (id === 1000 || type === RecordType.leader)
          found.push(type === RecordType.leader ? "leader" : "read");
        return;
      }
      assert.equal(Buffer.compare(bytes.subarray(start + ENTRY_PREFIX_BYTES, end), dataOf(id)), 0);
      found.push(`entry ${id}`);
    }, 100);
  }
  assert.ok(passed > 0);
  assert.deepEqual(
    found.filter((each) => each !== "leader"),
    ["entry 1", "entry 2", "read", "entry 3", "entry 4", "entry 5"],
  );
  assert.equal(found.length, 7, "the news of the leader too");
});
