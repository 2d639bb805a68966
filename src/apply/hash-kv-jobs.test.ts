import assert from "node:assert/strict";
import { test } from "node:test";
import { MemorySource } from "../../test/fuzz/memory-source.ts";
import { createMvccStore } from "../mvcc/mvcc.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { COMPACTION_HASHES_MAX, HashKvJobs, type StoredHash } from "./hash-kv-jobs.ts";
import { MemoryResponseSink } from "./memory-sinks.ts";

const EMPTY = new Uint8Array(0);

test("compactions that come faster than they can be hashed are not all remembered", () => {
  const source = new MemorySource();
  const store = createMvccStore({ source, sink: source, valueBytesMax: 1 << 20 });
  const stored: StoredHash[] = [];
  const jobs = new HashKvJobs(
    {
      store,
      responses: new MemoryResponseSink(),
      openScan: ({ revision }) => ({ step: () => true, hash: revision, close: () => undefined }),
      header: () => new MessageBuilder(),
      requestCommit: () => undefined,
      onCompactionHash: (hash) => stored.push(hash),
    },
    1,
  );
  const key = Uint8Array.of(1);
  const compactions = COMPACTION_HASHES_MAX + 5;
  for (let i = 0; i < compactions; i++) {
    store.beginTxn();
    store.put(key, 0, 1, key, 0, 1, 0, 0);
    store.endTxn();
    jobs.begin(store.revision);
    store.compact(store.revision);
  }
  assert.equal(jobs.isBusy, true);
  jobs.committed(store.revision);
  while (jobs.runSlice());
  assert.equal(jobs.isBusy, false, "then compaction may go on");
  assert.deepEqual(
    stored.map(({ revision, compactRevision }) => [revision, compactRevision]),
    Array.from({ length: COMPACTION_HASHES_MAX }, (_, i) => [2 + i, i === 0 ? -1 : 1 + i]),
  );
});

test("keep set and snapshot are of one moment, and nothing is deleted beside a scan that sees changes", () => {
  for (const scansSeeChanges of [false, true]) {
    const source = new MemorySource();
    const store = createMvccStore({ source, sink: source, valueBytesMax: 1 << 20 });
    const responses = new MemoryResponseSink();
    let steps = 0;
    const jobs = new HashKvJobs(
      {
        store,
        responses,
        openScan: () => ({ step: () => ++steps === 3, hash: 7, close: () => undefined }),
        header: () => new MessageBuilder(),
        requestCommit: () => undefined,
        scansSeeChanges,
      },
      1,
    );
    jobs.request(1, EMPTY, 0, 0);
    assert.equal(jobs.isBusy, false, "nothing was looked at yet");
    jobs.runSlice();
    assert.equal(steps, 1, "the first step takes the snapshot");
    for (; responses.answers.size === 0; jobs.runSlice()) assert.equal(jobs.isBusy, scansSeeChanges);
    assert.equal(jobs.isBusy, false);
  }
});
