/**
 * The WAL alone: how many entries a second its thread encodes and makes durable, by entries a batch.
 * `node bench/wal.ts [directory] [entry bytes] [--unsafe-no-fsync]`; the directory must lie on the disk to measure.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { WalBatch } from "../src/wal/wal-batch.ts";
import { createWal, openWal } from "../src/wal/open-wal.ts";

const base = fs.mkdtempSync(path.join(process.argv[2] ?? os.tmpdir(), "wal-bench-"));
const entryBytes = Number(process.argv[3] ?? 300);
const unsafeNoFsync = process.argv.includes("--unsafe-no-fsync");
const SECONDS = 2;
const source = new Uint8Array(new SharedArrayBuffer(1 << 20)).map((_, i) => (i * 7) & 0xff);

function benchEncoding(): void {
  const batch = new WalBatch();
  let crc = 0;
  let index = 0;
  const round = (entries: number): number => {
    const start = performance.now();
    for (let i = 0; i < entries; i++) {
      if (i % 1000 === 0) batch.reset();
      const at = (i * 64) & 0x7ffff;
      crc = batch.appendEntry(crc, 0, 2, ++index, source, at, at + entryBytes);
    }
    return ((performance.now() - start) * 1e6) / entries;
  };
  round(200_000);
  console.log(
    `encode      ${round(500_000).toFixed(0)} ns an entry of ${entryBytes} B (frame, record, header, CRC, one copy)`,
  );
}

async function benchFlush(perBatch: number): Promise<void> {
  const directory = path.join(base, `wal-${perBatch}`);
  const took: number[] = [];
  const wal = await createWal(
    directory,
    { nodeId: 1n, clusterId: 2n },
    { unsafeNoFsync, onFlush: (ms) => took.push(ms) },
  );
  let index = 0;
  const gather = (): void => {
    for (let i = 0; i < perBatch; i++) wal.appendEntry(0, 2, ++index, source, 0, entryBytes);
    wal.appendHardState({ term: 2, vote: 1n, commit: wal.durableIndex });
  };
  const cpu = process.cpuUsage();
  const start = performance.now();
  gather();
  while (performance.now() - start < SECONDS * 1000) {
    const flushing = wal.flush();
    gather();
    wal.recycle(await flushing);
  }
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  took.sort((a, b) => a - b);
  const us = (part: number): string => (took[Math.floor(took.length * part)] * 1000).toFixed(0);
  const rate = (took.length * perBatch) / seconds;
  console.log(
    `batch ${String(perBatch).padStart(5)}  ${rate.toFixed(0).padStart(8)} entries/s  flush p50 ${us(0.5)} us  p99 ${us(0.99)} us  ` +
      `CPU ${((user + system) / (took.length * perBatch)).toFixed(2)} us an entry  ${wal.segmentPaths.length} segments`,
  );
  await wal.close();
  const read = performance.now();
  const { contents, wal: again } = await openWal(directory, Math.max(0, wal.durableIndex - 10_000));
  const ms = performance.now() - read;
  console.log(
    `             read back ${again.segmentPaths.length} segments, kept ${contents.lastIndex - Math.max(0, wal.durableIndex - 10_000)} entries: ${ms.toFixed(0)} ms`,
  );
  await again.close();
}

try {
  benchEncoding();
  for (const perBatch of [1, 10, 100, 1000]) await benchFlush(perBatch);
} finally {
  fs.rmSync(base, { recursive: true });
}
