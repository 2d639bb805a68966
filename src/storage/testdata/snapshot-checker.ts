/**
 * Worker of the snapshot stress test: reads the database at workerData.path while another thread commits to it, and checks
 * that every snapshot is one commit's state. words[0]: stop; the rest counts what was checked, see {@link COUNTS}.
 */
// oxlint-disable-next-line no-restricted-imports -- a test needs a thread of its own
import { workerData } from "node:worker_threads";

import { Prng } from "../../base/prng.ts";
import type { BackendReader } from "../../mvcc/backend.ts";
import { openLmdbReader } from "../lmdb-reader.ts";
import { checkValue, groupMains, groupName, GROUPS, TOTALS_NAME, weigh } from "./snapshot-model.ts";

const COUNTS = { snapshots: 1, scans: 2, gets: 3, lastCommit: 4, skippedCommits: 5 };

const { path, memory, seed } = workerData as { path: string; memory: SharedArrayBuffer; seed: number };
const words = new Int32Array(memory);
const prng = new Prng(seed);

interface Totals {
  readonly commit: number;
  readonly records: number;
  readonly sum: number;
}

function readTotals(reader: BackendReader): Totals {
  return JSON.parse(Buffer.from(reader.get("cluster", TOTALS_NAME) as Uint8Array).toString()) as Totals;
}

/** All keys of a group were written by the commit that the group's row names. */
function checkGroup(reader: BackendReader, group: number, newest: number): void {
  const row = reader.get("cluster", groupName(group)) as Uint8Array;
  const expected = new DataView(row.buffer, row.byteOffset).getUint32(0);
  if (expected > newest) throw new Error(`group ${group} is of commit ${expected}, the snapshot of ${newest}`);
  for (const main of groupMains(group)) {
    const bytes = reader.getRevision(main, 0, false);
    if (bytes === undefined) throw new Error(`revision ${main} is missing in commit ${newest}`);
    const found = checkValue(main, bytes);
    if (found !== expected) throw new Error(`revision ${main} is of commit ${found}, its group of ${expected}`);
    words[COUNTS.gets]++;
  }
}

/** All records add up to what the commit says, and a lookup finds what the scan found. */
function checkAll(reader: BackendReader, totals: Totals): void {
  let sum = 0;
  const commits = new Map<number, number>();
  reader.scanRevisions(0, (main, _sub, _tombstone, bytes, length) => {
    const commit = checkValue(main, bytes.subarray(0, length));
    sum += weigh(main, commit, length);
    commits.set(main, commit);
    return true;
  });
  if (commits.size !== totals.records || sum !== totals.sum) {
    throw new Error(`commit ${totals.commit} has ${totals.records} records with sum ${totals.sum}, found ${commits.size}, ${sum}`);
  }
  for (const [main, commit] of commits) {
    if (prng.below(8) !== 0) continue;
    const bytes = reader.getRevision(main, 0, false);
    if (bytes === undefined || checkValue(main, bytes) !== commit) throw new Error(`revision ${main} was not found again`);
    words[COUNTS.gets]++;
  }
  words[COUNTS.scans]++;
}

const reader = openLmdbReader(path);
let last = 0;
while (Atomics.load(words, 0) === 0) {
  reader.refresh();
  if (prng.below(10) === 0) continue; // refreshed twice without a read between
  const totals = readTotals(reader);
  if (totals.commit < last) throw new Error(`snapshot of commit ${totals.commit} behind ${last}`);
  if (totals.commit > last + 1) words[COUNTS.skippedCommits]++;
  last = totals.commit;
  // A few groups of a snapshot leave most of the tree unread, whose pages then grow old in the cache.
  for (let left = prng.below(4); left >= 0; left--) checkGroup(reader, prng.below(GROUPS), totals.commit);
  if (prng.below(30) === 0) checkAll(reader, totals);
  Atomics.store(words, COUNTS.lastCommit, last);
  words[COUNTS.snapshots]++;
}
reader.refresh();
checkAll(reader, readTotals(reader));
reader.close();
