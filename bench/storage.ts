/**
 * The storage engine: puts and commits at several batch sizes, size on disk, gets, the recovery scan and what reading
 * does to resident memory. Run: `node bench/storage.ts [records]`.
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { BackendWriter } from "../src/mvcc/backend.ts";
import { HashKv } from "../src/storage/hash-kv.ts";
import { openLmdbBackend } from "../src/storage/lmdb-backend.ts";
import { openMemoryBackend } from "../src/storage/memory-backend.ts";
import { writeRevisionKey } from "../src/storage/revision-key.ts";

const RECORDS = Number(process.argv[2] ?? 1_000_000);
/** mvccpb.KeyValue of a 36 B key and a 256 B value. */
const VALUE = Buffer.alloc(306, 7);
const key = new Uint8Array(17);

function residentMb(): string {
  const status = readFileSync("/proc/self/status", "latin1");
  const kb = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]);
  return `RSS ${Math.round(kb("VmRSS") / 1024)} MB, of it anonymous ${Math.round(kb("RssAnon") / 1024)} MB`;
}

function load(
  backend: BackendWriter,
  records: number,
  batch: number,
): { putUs: number; commitMs: number; cpuUs: number } {
  const cpu = process.cpuUsage();
  const start = performance.now();
  let commitTotal = 0;
  let commits = 0;
  for (let i = 0; i < records; i++) {
    writeRevisionKey(key, 0, i + 2, 0, false);
    backend.putRevision(key, VALUE);
    if ((i + 1) % batch !== 0) continue;
    const before = performance.now();
    backend.commit(i, 1);
    commitTotal += performance.now() - before;
    commits++;
  }
  const putUs = ((performance.now() - start - commitTotal) * 1000) / records;
  const used = process.cpuUsage(cpu);
  return { putUs, commitMs: commitTotal / commits, cpuUs: (used.user + used.system) / records };
}

const directory = mkdtempSync(join(tmpdir(), "concord-bench-"));
for (const batch of [100, 1000, 10_000, 50_000]) {
  const path = join(directory, `db-${batch}`);
  const backend = openLmdbBackend(path);
  const { putUs, commitMs, cpuUs } = load(backend, Math.min(RECORDS, 200_000), batch);
  console.log(
    `lmdb put, ${batch} a commit: ${putUs.toFixed(2)} us a put, ${commitMs.toFixed(2)} ms a commit, ` +
      `CPU in all ${cpuUs.toFixed(2)} us a put`,
  );
  backend.close();
  rmSync(path);
}

const path = join(directory, "db");
let backend = openLmdbBackend(path);
const { putUs } = load(backend, RECORDS, 10_000);
console.log(
  `${RECORDS} records of ${VALUE.length} B: ${(statSync(path).size / 2 ** 20).toFixed(0)} MiB on disk (${putUs.toFixed(2)} us a put)`,
);
console.log(`after loading: ${residentMb()}`);
backend.close();
await new Promise((resolve) => setTimeout(resolve, 10));
backend = openLmdbBackend(path);
const reader = backend.reader();
console.log(`after opening again: ${residentMb()}`);

const measure = (name: string, count: number, body: () => void): void => {
  const start = performance.now();
  body();
  const ms = performance.now() - start;
  console.log(
    `${name}: ${((ms * 1000) / count).toFixed(2)} us a record, ${ms.toFixed(0)} ms; ${residentMb()}`,
  );
};
let sum = 0;
// Twice: the first pass also compiles the code and, through a memory map, maps the pages.
for (let i = 0; i < 2; i++) {
  measure("get, all in random order", RECORDS, () => {
    // A step that shares no factor with the number of records comes by every one of them once.
    for (let i = 0; i < RECORDS; i++)
      sum += reader.getRevision(2 + ((i * 611_953) % RECORDS), 0, false)?.length ?? 0;
  });
}
measure("get, all in order", RECORDS, () => {
  for (let i = 0; i < RECORDS; i++) sum += reader.getRevision(2 + i, 0, false)?.length ?? 0;
});
for (let i = 0; i < 2; i++) {
  measure("scan of all", RECORDS, () =>
    reader.scanRevisions(0, (main, _s, _t, _b, length) => (sum += main + length) > 0),
  );
}
const hash = new HashKv(reader, { revision: RECORDS + 1, compactRevision: -1, keeps: () => true });
measure("HashKV of all", RECORDS, () => {
  while (!hash.step(1000));
});
measure("delete, 10,000 a commit", RECORDS / 2, () => {
  for (let i = 0; i < RECORDS / 2; i++) {
    writeRevisionKey(key, 0, i + 2, 0, false);
    backend.deleteRevision(key);
    if (i % 10_000 === 9999) backend.commit(1, 1);
  }
});
reader.close();
backend.close();

const memory = openMemoryBackend();
const inMemory = load(memory, Math.min(RECORDS, 200_000), 100);
console.log(
  `memory put, 100 a commit: ${inMemory.putUs.toFixed(2)} us a put; ${sum > 0 ? residentMb() : ""}`,
);
rmSync(directory, { recursive: true });
