/** Measurements that are not a rate of requests: start, memory, disk, restart, and the range that is larger than memory should notice. */
import { setTimeout as delay } from "node:timers/promises";
import { fill, MILLION } from "./data-sets.ts";
import { measureBigRange } from "./big-range.ts";
import { megabytes, milliseconds, perSecond, type Figure, type Series } from "./figure.ts";
import type { Side } from "./side.ts";

/** How much of it is measured. */
export interface Extent {
  /** Length of a phase that has no length of its own. */
  readonly seconds: number;
  /** Length of the runs that show whether something grows. */
  readonly minutes: number;
  /** A number of watchers, leases or keys, made smaller as the user wants. */
  scaled(count: number): number;
  /** Values over time, for the report. */
  addSeries(series: Series): void;
}

/** A group of figures that are measured together. */
export interface FigureLoad {
  readonly name: string;
  measure(side: Side, extent: Extent): Promise<Figure[]>;
}

// After this long a member that nobody calls has settled.
const SETTLE_MS = 2000;
const STARTS = 3;

/** Needs nothing; leaves a fresh member. */
export const START: FigureLoad = { name: "start", measure: measureStart };
/** Leaves a member with a million keys and more. */
export const MILLION_KEYS: FigureLoad = { name: "million", measure: measureMillion };
export const RESTART: FigureLoad = { name: "restart", measure: measureRestart };
export const BIG_RANGE: FigureLoad = { name: "big-range", measure: measureBigRangeFigures };

async function measureStart(side: Side): Promise<Figure[]> {
  const starts: number[] = [];
  for (let i = 0; i < STARTS; i++) starts.push(await side.start());
  await delay(SETTLE_MS);
  return [
    milliseconds(
      "from start to first answer, no data (median of 3)",
      starts.sort((a, b) => a - b)[STARTS >>> 1],
    ),
    megabytes("idle RSS", side.rssBytes()),
  ];
}

async function measureMillion(side: Side): Promise<Figure[]> {
  await side.start();
  const seconds = await fill(side, MILLION);
  await delay(SETTLE_MS);
  return [
    perSecond("1 M keys of 256 B: keys loaded, 100 a Txn", MILLION.keys / seconds),
    megabytes("1 M keys of 256 B: RSS", side.rssBytes()),
    megabytes("1 M keys of 256 B: disk, WAL included", side.diskBytes()),
  ];
}

async function measureRestart(side: Side): Promise<Figure[]> {
  await fill(side, MILLION);
  const elapsed = await side.restart();
  await delay(SETTLE_MS);
  return [
    milliseconds("restart to first answer, 1 M keys", elapsed),
    megabytes("RSS after the restart, 1 M keys", side.rssBytes()),
  ];
}

async function measureBigRangeFigures(side: Side): Promise<Figure[]> {
  await fill(side, MILLION);
  const result = await measureBigRange(side, MILLION);
  return [
    milliseconds("Range of 1 M keys: time", result.rangeMs),
    megabytes("Range of 1 M keys: rise of RSS", result.rangeRssRise),
    milliseconds("Put 99 % alone, 1x10", result.putAlone.p99),
    milliseconds("Put 99 % during the Range", result.putDuring.p99),
    megabytes("a client that stops reading in the middle: rise of RSS", result.stalledRssRise),
    milliseconds("Put 99 % beside that client", result.putBesideStalled.p99),
  ];
}
