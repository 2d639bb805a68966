/** `etcdctl check perf` */
import type { Client } from "../../../client/client.ts";
import { EtcdError } from "../../../client/etcd-error.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { flush, printLine } from "../../common/terminal.ts";
import { ProgressBar } from "../../common/progress-bar.ts";
import {
  compactTo,
  defragmentAll,
  deletePrefix,
  loadCheckFlags,
  measuredPut,
  printErrors,
  randomKey,
  selectLoad,
  withLoadClients,
} from "../load-check.ts";
import { LoadReport, type LoadStats } from "../load-report.ts";
import { whenAborted, withInterrupt } from "../signals.ts";

/** How much is written: so many a second, by so many clients. */
interface Workload {
  readonly perSecond: number;
  readonly clients: number;
}

const WORKLOADS: Readonly<Record<"s" | "m" | "l" | "xl", Workload>> = {
  s: { perSecond: 150, clients: 50 },
  m: { perSecond: 1000, clients: 200 },
  l: { perSecond: 8000, clients: 500 },
  xl: { perSecond: 15_000, clients: 1000 },
};
const DURATION_SECONDS = 60;
const KEY_BYTES = 256;
const VALUE_BYTES = 1024;
/** How often new requests are handed out: fine enough that they do not come in bursts. */
const TICK_MS = 1;

/** Part of the wanted throughput that must be reached, and the longest times in seconds. */
const THROUGHPUT_MIN = 0.9;
const SLOWEST_MAX = 0.5;
const STDDEV_MAX = 0.1;

export const command: Command = {
  usage: "perf [options]",
  description: `
Writes for ${DURATION_SECONDS} seconds: 150 (s), 1,000 (m), 8,000 (l) or 15,000 (xl) keys a second by 50, 200, 500 or 1,000 clients,
and says whether the cluster keeps up. The keys are deleted afterwards.
`,
  flags: loadCheckFlags("/etcdctl-check-perf/"),
  async run(context) {
    const { flags } = context;
    const workload = selectLoad(flags.string("load"), WORKLOADS);
    const deletion = (prefix: string): string => `'etcdctl del --prefix ${prefix}'`;
    await withLoadClients(
      context,
      { count: workload.clients, deletion },
      async ({ clients, prefix, options }) => {
        const stats = await withInterrupt((signal) => load(clients, workload, prefix, signal));
        await cleanUp(clients[0], prefix, flags.bool("auto-compact"));
        if (flags.bool("auto-defrag")) await defragmentAll(clients[0], options.endpoints);
        if (!judge(stats, workload)) throw new CliError(ExitCode.error, "");
      },
    );
  },
};

/**
 * Hands out requests at the workload's rate for the time of the test, each to the next client that has nothing to do: a cluster
 * that does not keep up gets no more than one request a client at a time.
 */
async function load(
  clients: readonly Client[],
  { perSecond }: Workload,
  prefix: string,
  signal: AbortSignal,
): Promise<LoadStats> {
  const report = new LoadReport();
  const bar = new ProgressBar({ total: DURATION_SECONDS, format: (seconds) => `${Math.floor(seconds)}s` });
  const value = new Uint8Array(VALUE_BYTES);
  const idle = [...clients];
  const running = new Set<Promise<void>>();
  const startedMs = performance.now();
  const start = (client: Client): void => {
    const put = measuredPut(client, { key: randomKey(prefix, KEY_BYTES), value }, report).then(() => {
      idle.push(client);
      running.delete(put);
    });
    running.add(put);
  };
  let due = 0;
  let lastMs = 0;
  const done = Promise.withResolvers<void>();
  const timer = setInterval(() => {
    const elapsedMs = performance.now() - startedMs;
    if (elapsedMs >= DURATION_SECONDS * 1000) return done.resolve();
    due += ((elapsedMs - lastMs) / 1000) * perSecond;
    bar.add((elapsedMs - lastMs) / 1000);
    lastMs = elapsedMs;
    while (due >= 1 && idle.length > 0) {
      due--;
      start(idle.shift() as Client);
    }
    // What could not be handed out is lost: the rate is not made up for later in a burst.
    if (idle.length === 0) due = Math.min(due, 1);
  }, TICK_MS);
  await Promise.race([done.promise, whenAborted(signal)]);
  clearInterval(timer);
  bar.finish();
  await Promise.all(running);
  return report.stats();
}

async function cleanUp(client: Client, prefix: string, compacts: boolean): Promise<void> {
  let revision;
  try {
    revision = await deletePrefix(client, prefix);
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    return printLine(`FAIL: Cleanup failed during key deletion: ERROR(${error.message})`);
  }
  if (compacts) await compactTo(client, revision);
}

/** Prints the verdict. True if the cluster passes. */
function judge({ requestsPerSecond, slowest, stddev, errors }: LoadStats, { perSecond }: Workload): boolean {
  let passes = printErrors(errors);
  const check = (isGood: boolean, good: string, bad: string): void => {
    printLine(isGood ? `PASS: ${good}` : bad);
    passes &&= isGood;
  };
  const rate = `${Math.floor(requestsPerSecond) + 1} writes/s`;
  const isFast = requestsPerSecond / perSecond > THROUGHPUT_MIN;
  check(isFast, `Throughput is ${rate}`, `FAIL: Throughput too low: ${rate}`);
  const longest = `${slowest.toFixed(6)}s`;
  check(
    slowest <= SLOWEST_MAX,
    `Slowest request took ${longest}`,
    `Slowest request took too long: ${longest}`,
  );
  const spread = `${stddev.toFixed(6)}s`;
  check(stddev <= STDDEV_MAX, `Stddev is ${spread}`, `Stddev too high: ${spread}`);
  printLine(passes ? "PASS" : "FAIL");
  flush();
  return passes;
}
