/** Runs h2load (one thread) with one gRPC body, and reads its figures. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findOnPath } from "../test/support/binaries.ts";
import { Latencies, type Percentiles } from "./latencies.ts";
import type { RequestBody } from "./requests.ts";

const run = promisify(execFile);
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
const HTTP_OK = "200";

/** Shape and length of a run. */
export interface H2loadOptions {
  readonly address: string;
  readonly connections: number;
  readonly streams: number;
  readonly seconds: number;
  readonly request: RequestBody;
}

/** What came of a run. `bytesAnswer` is the mean length of a response body, which shows errors that HTTP status 200 hides. */
export interface H2loadResult extends Percentiles {
  readonly requests: number;
  readonly seconds: number;
  readonly bytesAnswer: number;
}

/** True if this machine has h2load. */
export function hasH2load(): boolean {
  return findOnPath("h2load") !== undefined;
}

/** Runs h2load. Throws if any request fails. No request at all may have been answered in so short a time. */
export async function runH2load(options: H2loadOptions): Promise<H2loadResult> {
  const folder = await mkdtemp(join(tmpdir(), "concord-h2load-"));
  try {
    const [body, log] = [join(folder, "body"), join(folder, "log")];
    await writeFile(body, options.request.body);
    const { stdout } = await run(
      "h2load",
      [
        "-t",
        "1",
        "-c",
        `${options.connections}`,
        "-m",
        `${options.streams}`,
        "-D",
        `${Math.round(options.seconds * 1000)}ms`,
        "-d",
        body,
        "-H",
        "content-type: application/grpc",
        "-H",
        "te: trailers",
        `--log-file=${log}`,
        `http://${options.address}${options.request.path}`,
      ],
      { maxBuffer: OUTPUT_BYTES_MAX },
    );
    return summarize(stdout, await readFile(log, "latin1"), options.seconds);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function summarize(output: string, log: string, seconds: number): H2loadResult {
  const counts =
    /requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored/.exec(
      output,
    );
  const data = /\((\d+)\) data/.exec(output);
  if (counts === null || data === null) throw new Error(`cannot read h2load's output:\n${output}`);
  const [succeeded, failed, errored] = [Number(counts[3]), Number(counts[4]), Number(counts[5])];
  if (failed > 0 || errored > 0) throw new Error(`h2load had failures:\n${output}`);
  const latencies = readLatencies(log);
  return {
    requests: succeeded,
    seconds,
    bytesAnswer: Number(data[1]) / Math.max(1, succeeded),
    ...latencies.percentiles(),
  };
}

/** Lines of start (us since the epoch), HTTP status, duration in us. */
function readLatencies(log: string): Latencies {
  const latencies = new Latencies();
  let at = 0;
  while (at < log.length) {
    const end = log.indexOf("\n", at);
    const [, status, microseconds] = log.slice(at, end < 0 ? undefined : end).split("\t");
    if (status === HTTP_OK) latencies.add(Number(microseconds) / 1000);
    if (end < 0) break;
    at = end + 1;
  }
  return latencies;
}
