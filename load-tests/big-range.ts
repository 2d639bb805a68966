/**
 * One Range over a million keys while other clients write: what it costs in memory, and whether the writers notice. Then the same
 * with a client that stops reading in the middle.
 */
import { writeFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { KV } from "../src/proto/gen/rpc_pb.ts";
import { peakRssBytes, rssBytes } from "../test/support/proc-stats.ts";
import type { DataSet } from "./data-sets.ts";
import { putsFor } from "./beside.ts";
import type { GeneratorResult } from "./generator.ts";
import type { RangeReaderReport, RangeReaderTask } from "./range-reader.ts";
import { prefixRange, requestBody, VALUE_BYTES, type RequestBody } from "./requests.ts";
import type { Side } from "./side.ts";

const ALONE_SECONDS = 2;
const BESIDE_STALLED_SECONDS = 3;
// "In the middle": long after the first slice, long before the end.
const STALL_AFTER_BYTES = 20e6;

/** Bytes, milliseconds. */
export interface BigRangeResult {
  readonly rangeMs: number;
  readonly rangeRssRise: number;
  readonly stalledRssRise: number;
  readonly putAlone: GeneratorResult;
  readonly putDuring: GeneratorResult;
  readonly putBesideStalled: GeneratorResult;
}

/** Runs both parts on a member that holds `set`. */
export async function measureBigRange(side: Side, set: DataSet): Promise<BigRangeResult> {
  const request = requestBody(KV.method.range, prefixRange(set.prefix));
  const putAlone = await putsFor(side, ALONE_SECONDS);
  const read = await readBeside(side, request, set);
  const stalled = await stallBeside(side, request);
  return { ...read, ...stalled, putAlone };
}

async function readBeside(side: Side, request: RequestBody, set: DataSet) {
  const stop = new AbortController();
  const reader = new RangeReader({ address: side.address, request, stallAfterBytes: Infinity });
  const rss = watchRss(side.pid);
  const puts = putsFor(side, Infinity, { signal: stop.signal });
  const startedAt = performance.now();
  const bytes = await reader.report.finally(() => stop.abort());
  const rangeMs = performance.now() - startedAt;
  await reader.end();
  if (bytes < set.keys * VALUE_BYTES)
    throw new Error(`${side.name} answered the range with ${bytes} bytes only`);
  return { rangeMs, putDuring: await puts, rangeRssRise: rss.rise() };
}

async function stallBeside(side: Side, request: RequestBody) {
  const rss = watchRss(side.pid);
  const reader = new RangeReader({ address: side.address, request, stallAfterBytes: STALL_AFTER_BYTES });
  try {
    await reader.report;
    const putBesideStalled = await putsFor(side, BESIDE_STALLED_SECONDS);
    return { putBesideStalled, stalledRssRise: rss.rise() };
  } finally {
    await reader.end();
  }
}

/** The thread that reads the large answer. */
class RangeReader {
  /** Resolves with the bytes read, at the end of the answer or when the reader has stopped reading. */
  readonly report: Promise<number>;
  readonly #worker: Worker;

  constructor(task: RangeReaderTask) {
    this.#worker = new Worker(new URL("./range-reader.ts", import.meta.url), { workerData: task });
    this.report = new Promise((resolve, reject) => {
      this.#worker.once("error", reject);
      this.#worker.once("message", ({ bytes, problem }: RangeReaderReport) => {
        if (problem === "") resolve(bytes);
        else reject(new Error(problem));
      });
    });
  }

  /** Ends the thread and with it the connection. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Takes the resident memory now; `rise` is how far it has been above that since. */
function watchRss(pid: number): { rise(): number } {
  // 5 sets the high-water mark back to the present (proc(5)).
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
  const before = rssBytes(pid);
  return { rise: () => Math.max(0, peakRssBytes(pid) - before) };
}
