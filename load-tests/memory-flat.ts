/**
 * A day's worth of puts to the same keys in some minutes, with automatic compaction: memory and disk must become flat. A day of
 * 50 puts a second is 4.3 million of them.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Maintenance } from "../src/proto/gen/rpc_pb.ts";
import { megabytes, perSecond, type Figure } from "./figure.ts";
import type { Extent, FigureLoad } from "./figures.ts";
import { generate } from "./generator.ts";
import { keyName, putRequest } from "./requests.ts";
import type { Side } from "./side.ts";

const KEYS = 10_000;
// Every ten seconds stand for the hour of a usual configuration.
const FLAGS = ["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "10s"];
const SAMPLES = 18;

export const MEMORY_FLAT: FigureLoad = { name: "memory-flat", measure: measureMemoryFlat };

interface Sample {
  readonly seconds: number;
  readonly rss: number;
  readonly disk: number;
  readonly database: number;
}

async function measureMemoryFlat(side: Side, extent: Extent): Promise<Figure[]> {
  await side.start(FLAGS);
  const seconds = extent.minutes * 60;
  let put = 0;
  const next = () => putRequest(keyName("same/", put++ % KEYS));
  const puts = generate({
    address: side.address,
    connections: 10,
    streams: 10,
    seconds,
    script: () => ({ next }),
  });
  puts.catch(() => undefined);
  const startedAt = performance.now();
  const samples: Sample[] = [];
  for (let i = 1; i <= SAMPLES; i++) {
    await delay(startedAt + (i * seconds * 1000) / SAMPLES - performance.now());
    samples.push(await takeSample(side, (performance.now() - startedAt) / 1000));
  }
  const { requests } = await puts;
  extent.addSeries(seriesOf(side, samples));
  // The first third fills caches, write-ahead log segments and pages that later compactions make free again.
  const second = samples.slice(SAMPLES / 3, (SAMPLES / 3) * 2);
  const last = samples.slice((SAMPLES / 3) * 2);
  const figures = (what: string, pick: (sample: Sample) => number): Figure[] => [
    megabytes(`${what}, mean of the last third`, mean(last, pick)),
    megabytes(`${what}, rise since the second third`, mean(last, pick) - mean(second, pick)),
  ];
  return [
    perSecond(`puts to ${KEYS} keys, compaction every 10 s, ${seconds} s`, requests / seconds),
    ...figures("RSS", (sample) => sample.rss),
    ...figures("disk, WAL included", (sample) => sample.disk),
    ...figures("database file", (sample) => sample.database),
  ];
}

async function takeSample(side: Side, seconds: number): Promise<Sample> {
  const { dbSize } = await side.client.call(Maintenance.method.status, {});
  return { seconds, rss: side.rssBytes(), disk: side.diskBytes(), database: Number(dbSize) };
}

function seriesOf(side: Side, samples: readonly Sample[]) {
  return {
    title: `puts to the same keys, ${side.name}`,
    header: ["s", "RSS MB", "disk MB", "database MB"],
    rows: samples.map(({ seconds, rss, disk, database }) => [seconds, rss / 1e6, disk / 1e6, database / 1e6]),
  };
}

function mean(samples: readonly Sample[], pick: (sample: Sample) => number): number {
  return samples.reduce((sum, sample) => sum + pick(sample), 0) / samples.length;
}
