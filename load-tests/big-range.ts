/**
 * One Range over a million keys while other clients write: what it costs in memory, and whether the writers notice. Then the same
 * with a client that stops reading in the middle.
 */
import { writeFileSync } from "node:fs";
import { KV } from "../src/proto/gen/rpc_pb.ts";
import { peakRssBytes, rssBytes } from "../test/support/proc-stats.ts";
import type { DataSet } from "./data-sets.ts";
import { generate, type GeneratorResult } from "./generator.ts";
import { LoadConnection } from "./generator-connection.ts";
import { keyName, prefixRange, putRequest, requestBody, VALUE_BYTES, type RequestBody } from "./requests.ts";
import type { Side } from "./side.ts";

const PUT_KEYS = 10_000;
const PUT_STREAMS = 10;
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
  const connection = await LoadConnection.open(side.address);
  const stop = new AbortController();
  const rss = watchRss(side.pid);
  const puts = putsFor(side, Infinity, stop.signal);
  const startedAt = performance.now();
  const bytes = await readAnswer(connection, request).finally(() => {
    stop.abort();
    connection.close();
  });
  const rangeMs = performance.now() - startedAt;
  if (bytes < set.keys * VALUE_BYTES)
    throw new Error(`${side.name} answered the range with ${bytes} bytes only`);
  return { rangeMs, putDuring: await puts, rangeRssRise: rss.rise() };
}

function readAnswer(connection: LoadConnection, request: RequestBody): Promise<number> {
  let bytes = 0;
  const answer = new Promise<number>((resolve, reject) => {
    connection.send(request, {
      onData: (_, start, end) => (bytes += end - start),
      onEnd: (status) =>
        status === "0" ? resolve(bytes) : reject(new Error(`the range ended with ${status}`)),
    });
  });
  return Promise.race([answer, connection.closed.then(() => bytes)]);
}

async function stallBeside(side: Side, request: RequestBody) {
  const connection = await LoadConnection.open(side.address);
  const rss = watchRss(side.pid);
  try {
    await readUntilStall(connection, request);
    const putBesideStalled = await putsFor(side, BESIDE_STALLED_SECONDS);
    return { putBesideStalled, stalledRssRise: rss.rise() };
  } finally {
    connection.close();
  }
}

function readUntilStall(connection: LoadConnection, request: RequestBody): Promise<void> {
  let bytes = 0;
  return new Promise((resolve, reject) => {
    connection.closed.catch(reject);
    connection.send(request, {
      onData: (_, start, end) => {
        bytes += end - start;
        if (bytes < STALL_AFTER_BYTES) return;
        connection.stopReading();
        resolve();
      },
      onEnd: (status) =>
        reject(new Error(`the range ended with ${status} before the client stopped reading`)),
    });
  });
}

function putsFor(side: Side, seconds: number, signal?: AbortSignal): Promise<GeneratorResult> {
  let index = 0;
  const next = () => putRequest(keyName("beside/", index++ % PUT_KEYS));
  return generate({
    address: side.address,
    connections: 1,
    streams: PUT_STREAMS,
    seconds,
    script: () => ({ next }),
    ...(signal && { signal }),
  });
}

/** Takes the resident memory now; `rise` is how far it has been above that since. */
function watchRss(pid: number): { rise(): number } {
  // 5 sets the high-water mark back to the present (proc(5)).
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
  const before = rssBytes(pid);
  return { rise: () => Math.max(0, peakRssBytes(pid) - before) };
}
