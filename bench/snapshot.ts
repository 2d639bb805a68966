/**
 * Snapshot files: a database as a file of etcd's format, the file read and checked, and a database made of it.
 * `node bench/snapshot.ts [keys] [value bytes] [directory]`
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { buildDatabase } from "../src/snapshot/install-database.ts";
import { verifySnapshot } from "../src/snapshot/read-snapshot.ts";
import { writeSnapshot } from "../src/snapshot/snapshot.ts";
import { openLmdbBackend } from "../src/storage/lmdb-backend.ts";
import { writeRevisionKey } from "../src/storage/revision-key.ts";

const keys = Number(process.argv[2] ?? 1_000_000);
const valueBytes = Number(process.argv[3] ?? 256);
const directory = fs.mkdtempSync(path.join(process.argv[4] ?? os.tmpdir(), "snapshot-bench-"));
const file = path.join(directory, "file");
const INDEX = keys + 10;

async function measure<T>(what: string, work: () => T | Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await work();
  const ms = performance.now() - start;
  const mebibytes = fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const rate = mebibytes / 2 ** 20 / (ms / 1000);
  console.log(`${what.padEnd(36)} ${ms.toFixed(0).padStart(6)} ms  ${rate.toFixed(0).padStart(5)} MiB/s`);
  return result;
}

const backend = openLmdbBackend(path.join(directory, "db"));
const key = new Uint8Array(17);
const value = new Uint8Array(valueBytes);
for (let i = 0; i < keys; i++) {
  writeRevisionKey(key, 0, i + 2, 0, false);
  backend.putRevision(key, value);
  if (i % 50_000 === 0) backend.commit(i + 1, 2);
}
backend.commit(INDEX, 2);
const reader = backend.reader();
console.log(`${keys} keys, ${valueBytes} B each`);
await measure("database to file", () => writeSnapshot(reader, file));
await measure("database to file, durable", () => writeSnapshot(reader, file, { sync: true }));
await measure("file read and checked", () => verifySnapshot(file, { index: INDEX, term: 2 }));
await measure("file to database, durable", () =>
  buildDatabase(file, path.join(directory, "built"), { index: INDEX, term: 2 }),
);
console.log(`resident ${(process.memoryUsage.rss() / 2 ** 20).toFixed(0)} MiB`);
reader.close();
backend.close();
await backend.closed;
fs.rmSync(directory, { recursive: true });
