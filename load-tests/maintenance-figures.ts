/** Figures of long work inside a member, and of what writers notice of it: snapshot, defragmentation, compaction. */
import { Worker } from "node:worker_threads";
import { KV, Maintenance } from "../src/proto/gen/rpc_pb.ts";
import { failureOf } from "../test/support/etcd-client.ts";
import { besidePuts, putsFor } from "./beside.ts";
import { fill, MILLION, writeRevisions, type DataSet } from "./data-sets.ts";
import { megabytes, milliseconds, type Figure } from "./figure.ts";
import type { Extent, FigureLoad } from "./figures.ts";
import { keyName } from "./requests.ts";
import type { Side } from "./side.ts";
import type { SnapshotReport, SnapshotTask } from "./snapshot-thread.ts";

const ALONE_SECONDS = 3;
const COMPACTED_REVISIONS = 1_000_000;
const COMPACTED_KEYS = 10_000;
// Large deletions are done in pieces: each is one request that must end before the next.
const KEYS_A_DELETION = 10_000;
const CODE_OUT_OF_RANGE = 11;

/** The last one starts a member of its own. */
export const MAINTENANCE_FIGURES: readonly FigureLoad[] = [
  { name: "snapshot", measure: measureSnapshot },
  { name: "defragment", measure: measureDefragment },
  { name: "compaction", measure: measureCompaction },
];

async function measureSnapshot(side: Side, extent: Extent): Promise<Figure[]> {
  const set = scaledMillion(extent);
  await fill(side, set);
  const alone = await putsFor(side, ALONE_SECONDS);
  const { result: bytes, puts, seconds } = await besidePuts(side, () => readSnapshot(side));
  const title = `snapshot of ${set.keys} keys`;
  return [
    milliseconds(`${title}: time`, seconds * 1000),
    megabytes(`${title}: size`, bytes),
    milliseconds("Put 99 % alone, 1x10", alone.p99),
    milliseconds("Put 99 % during the snapshot", puts.p99),
    milliseconds("Put, longest during the snapshot", puts.max),
  ];
}

/** Of the whole million or, for a short run, a data set of another name, so that it is never taken for the million. */
function scaledMillion(extent: Extent): DataSet {
  const keys = extent.scaled(MILLION.keys);
  return keys === MILLION.keys ? MILLION : { prefix: "scaled/", keys };
}

function readSnapshot(side: Side): Promise<number> {
  const task: SnapshotTask = { address: side.address };
  const worker = new Worker(new URL("./snapshot-thread.ts", import.meta.url), { workerData: task });
  return new Promise<number>((resolve, reject) => {
    worker.once("error", reject);
    worker.once("message", ({ bytes }: SnapshotReport) => resolve(bytes));
  }).finally(() => void worker.terminate());
}

/** Half of the keys are deleted and compacted away first, so that the file can shrink. */
async function measureDefragment(side: Side, extent: Extent): Promise<Figure[]> {
  const set = scaledMillion(extent);
  await fill(side, set);
  side.filled.delete(set.prefix);
  const alone = await putsFor(side, ALONE_SECONDS);
  await deleteHalf(side, set);
  await compactAll(side);
  const before = await freeBytes(side);
  const { puts, seconds } = await besidePuts(side, () => side.client.call(Maintenance.method.defragment, {}));
  const after = await freeBytes(side);
  if (after >= before / 2) throw new Error(`${side.name}: of ${before} free bytes ${after} are left`);
  const title = `defragment, ${set.keys} keys of which half are deleted`;
  return [
    milliseconds(`${title}: time`, seconds * 1000),
    megabytes("free space in the database file before it", before),
    megabytes("free space in the database file after it", after),
    milliseconds("Put 99.9 % alone, 1x10", alone.p999),
    milliseconds("Put 99.9 % during it", puts.p999),
    milliseconds("Put, longest during it", puts.max),
  ];
}

async function deleteHalf(side: Side, { prefix, keys }: DataSet): Promise<void> {
  const end = keys >>> 1;
  for (let from = 0; from < end; from += KEYS_A_DELETION) {
    await side.client.call(KV.method.deleteRange, {
      key: keyName(prefix, from),
      rangeEnd: keyName(prefix, Math.min(from + KEYS_A_DELETION, end)),
    });
  }
}

/** What the file holds beyond its data. Its size alone would count what the writers have added meanwhile. */
async function freeBytes(side: Side): Promise<number> {
  const { dbSize, dbSizeInUse } = await side.client.call(Maintenance.method.status, {});
  return Number(dbSize - dbSizeInUse);
}

async function measureCompaction(side: Side, extent: Extent): Promise<Figure[]> {
  const revisions = extent.scaled(COMPACTED_REVISIONS);
  await side.start();
  await writeRevisions(side, { prefix: "compacted/", keys: COMPACTED_KEYS, revisions });
  const alone = await putsFor(side, ALONE_SECONDS);
  const { puts, seconds } = await besidePuts(side, () => compactAll(side));
  const title = `compaction of ${revisions} revisions`;
  return [
    milliseconds(`${title}, physical: time`, seconds * 1000),
    milliseconds("Put 99 % alone, 1x10", alone.p99),
    milliseconds("Put 99 % during the compaction", puts.p99),
    milliseconds("Put, longest during the compaction", puts.max),
  ];
}

/** Compacts up to the present, and resolves when the old revisions are off the disk. */
async function compactAll(side: Side): Promise<void> {
  const revision = await side.revision();
  await side.client.call(KV.method.compact, { revision: BigInt(revision), physical: true });
  const old = { key: Buffer.from("probe"), revision: BigInt(revision - 1) };
  const refusal = await side.client.call(KV.method.range, old).then(() => undefined, failureOf);
  if (refusal?.code !== CODE_OUT_OF_RANGE)
    throw new Error(`${side.name} still answers revision ${revision - 1} after a compaction at ${revision}`);
}
