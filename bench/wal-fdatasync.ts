/**
 * What one durable append costs on this disk: three ways to sync, three ways to prepare the file.
 * `node bench/wal-fdatasync.ts [directory] [appends]` prints microseconds; the directory must lie on the disk to measure.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

const PREPARED_BYTES = 16_000_000;
const directory = fs.mkdtempSync(path.join(process.argv[2] ?? os.tmpdir(), "wal-fdatasync-"));
const appends = Number(process.argv[3] ?? 300);

type Append = (fd: number, bytes: Uint8Array, position: number) => Promise<void>;

const appendAsync: Append = (fd, bytes, position) =>
  new Promise((resolve, reject) => {
    fs.write(fd, bytes, 0, bytes.length, position, (writeError) => {
      if (writeError) return reject(writeError);
      fs.fdatasync(fd, (syncError) => (syncError ? reject(syncError) : resolve()));
    });
  });

const appendWriteSync: Append = (fd, bytes, position) =>
  new Promise((resolve, reject) => {
    fs.writeSync(fd, bytes, 0, bytes.length, position);
    fs.fdatasync(fd, (error) => (error ? reject(error) : resolve()));
  });

const appendDsync: Append = (fd, bytes, position) =>
  new Promise((resolve, reject) => {
    fs.write(fd, bytes, 0, bytes.length, position, (error) => (error ? reject(error) : resolve()));
  });

const appendAllSync: Append = async (fd, bytes, position) => {
  fs.writeSync(fd, bytes, 0, bytes.length, position);
  fs.fdatasyncSync(fd);
};

const WAYS: Array<{ name: string; flags: number; append: Append }> = [
  { name: "write + fdatasync", flags: 0, append: appendAsync },
  { name: "writeSync + fdatasync", flags: 0, append: appendWriteSync },
  { name: "write to O_DSYNC", flags: fs.constants.O_DSYNC, append: appendDsync },
  { name: "all blocking", flags: 0, append: appendAllSync },
];

function prepare(fd: number, how: string): void {
  if (how === "sparse") fs.ftruncateSync(fd, PREPARED_BYTES);
  if (how === "zeroed") fs.writeSync(fd, new Uint8Array(PREPARED_BYTES), 0, PREPARED_BYTES, 0);
  fs.fsyncSync(fd);
}

async function measure(way: (typeof WAYS)[number], how: string, bytesEach: number): Promise<void> {
  const file = path.join(directory, "segment");
  const plain = fs.openSync(file, "w");
  prepare(plain, how);
  fs.closeSync(plain);
  const fd = fs.openSync(file, fs.constants.O_RDWR | way.flags);
  const bytes = new Uint8Array(bytesEach).fill(7);
  const took: number[] = [];
  const rounds = Math.min(appends, Math.floor(PREPARED_BYTES / bytesEach));
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    await way.append(fd, bytes, round * bytesEach);
    took.push((performance.now() - start) * 1000);
  }
  fs.closeSync(fd);
  took.sort((a, b) => a - b);
  const at = (part: number): string => took[Math.floor(took.length * part)].toFixed(0).padStart(6);
  const mean = (took.reduce((sum, value) => sum + value, 0) / took.length).toFixed(0).padStart(6);
  console.log(
    `${how.padEnd(8)} ${way.name.padEnd(22)} ${String(bytesEach).padStart(7)} B  p50 ${at(0.5)}  p99 ${at(0.99)}  mean ${mean} us`,
  );
}

try {
  for (const bytesEach of [512, 32_768, 262_144]) {
    for (const how of ["append", "sparse", "zeroed"])
      for (const way of WAYS) await measure(way, how, bytesEach);
  }
} finally {
  fs.rmSync(directory, { recursive: true });
}
