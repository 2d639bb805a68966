/** `npm run load -- capacity`: the highest constant rate of requests whose 99 % latency stays within a goal. */
import { setTimeout as delay } from "node:timers/promises";
import { Prng } from "../../src/base/prng.ts";
import { KV } from "../../src/proto/gen/rpc_pb.ts";
import type { Cleanup } from "../../test/support/temp-dir.ts";
import { writeRevisions } from "../data-sets.ts";
import type { LoadConnection } from "../generator-connection.ts";
import { keyName, putRequest, requestBody, type RequestBody } from "../requests.ts";
import { searchCapacity } from "./capacity-search.ts";
import { OpenLoop, type OpenLoopSample } from "./open-loop.ts";
import { ProgressLine } from "./progress-line.ts";
import { circumstances, withCleanup } from "../circumstances.ts";
import { Results, textTable } from "./results.ts";
import { UsageError, type Flags, type Scenario } from "./scenario.ts";
import { Target, TARGET_FLAGS } from "./target.ts";

const PREFIX = "capacity/";
const SEED = 1;
/** At the start of each try: connections, code and queues settle. */
const WARM_UP_MS = 1_000;
/** An overloaded member may need this long for what it has accepted. */
const DRAIN_MS = 60_000;
const PAUSE_MS = 500;
/** A try that does not reach this part of its rate has not held it, whatever its latencies say. */
const REACHED_MIN = 0.98;
/** A generator whose thread is busier than this is what limits the rate. */
const GENERATOR_BUSY = 0.9;

const OPERATIONS: Readonly<Record<string, number>> = { put: 1, range: 0, mixed: 0.2 };

export const CAPACITY: Scenario = {
  name: "capacity",
  summary: "the highest constant rate that holds a latency goal",
  flags: {
    ...TARGET_FLAGS,
    etcd: { value: "binary", help: "the same search on members of this program afterwards, to compare" },
    "goal-p99-ms": { value: "ms", help: "99 % of all requests are answered within this time", fallback: 20 },
    operation: {
      value: "name",
      help: "put, range (linearizable, one key) or mixed (20 % put)",
      fallback: "put",
    },
    from: { value: "rate", help: "first rate, in requests a second", fallback: 1000 },
    max: { value: "rate", help: "highest rate that is tried", fallback: 500_000 },
    seconds: { value: "n", help: "length of a try", fallback: 5 },
    tries: { value: "n", help: "of a rate before it counts as one that does not hold", fallback: 2 },
    "confirm-seconds": { value: "n", help: "length of the last try, which confirms", fallback: 15 },
    precision: {
      value: "share",
      help: "part of the rate by which the answer may be too low",
      fallback: 0.05,
    },
    connections: { value: "n", help: "connections, spread over the members", fallback: 10 },
    keys: { value: "n", help: "keys, all of which exist", fallback: 10_000 },
    "value-size": { value: "bytes", help: "size of values", fallback: 256 },
  },
  run: runCapacity,
};

interface Attempt extends OpenLoopSample {
  readonly side: string;
  readonly rate: number;
  readonly seconds: number;
  readonly holds: boolean;
  readonly isGeneratorBusy: boolean;
}

async function runCapacity(flags: Flags): Promise<boolean> {
  const results = new Results("capacity");
  const progress = new ProgressLine();
  const attempts: Attempt[] = [];
  const rows = [["program", "requests/s", "50 % ms", "99 % ms", "99.9 % ms", ""]];
  const found: Array<{ side: string; version: string; rate: number }> = [];
  const next = requests(flags);
  const etcd = flags.text("etcd");
  if (etcd !== undefined && flags.isSet("endpoints"))
    throw new UsageError("--etcd starts members beside ours, so it needs no --endpoints");
  const measure = (side: string, program?: { file: string; args: string[] }): Promise<void> =>
    withCleanup(async (cleanup) => {
      const target = await Target.fromFlags(cleanup, flags, program && { program });
      const version = await target.version();
      const search = new CapacityRun({ side, target, cleanup, flags, next, progress, attempts });
      const rate = await target.whileAlive(search.run());
      found.push({ side, version, rate });
      const own = attempts.filter((attempt) => attempt.side === side);
      rows.push(rowOf(`${side} ${version}`, rate, own));
      await target.close();
    });
  await measure("ours");
  if (etcd !== undefined) await measure("etcd", { file: etcd, args: [] });
  progress.finish();
  const { command, commit, machine } = circumstances("load");
  console.log(`\n${command}\ncommit ${commit}, ${machine}\n\n${textTable(rows)}\n`);
  if (found.length === 2 && found[1].rate > 0)
    console.log(`ours / etcd: ${(found[0].rate / found[1].rate).toFixed(2)}`);
  console.log(`all tries: ${results.writeJson({ goalP99Ms: flags.number("goal-p99-ms"), found, attempts })}`);
  return found.every(({ rate }) => rate > 0);
}

function rowOf(name: string, rate: number, attempts: readonly Attempt[]): string[] {
  const last = attempts.at(-1);
  if (last === undefined || rate === 0) {
    const heldOnce = attempts.some(({ holds }) => holds);
    const remark = heldOnce ? "what held once did not hold again" : "no rate holds the goal";
    return [name, "0", "-", "-", "-", remark];
  }
  const { p50, p99, p999, isGeneratorBusy } = last;
  const remark = isGeneratorBusy ? "the generator was at its own limit: this is a lower bound" : "";
  return [name, rate.toLocaleString("en-US"), ...[p50, p99, p999].map((ms) => ms.toFixed(2)), remark];
}

interface CapacityRunOptions {
  readonly side: string;
  readonly target: Target;
  readonly cleanup: Cleanup;
  readonly flags: Flags;
  readonly next: () => RequestBody;
  readonly progress: ProgressLine;
  /** Gets every try. */
  readonly attempts: Attempt[];
}

/** The search on one cluster. */
class CapacityRun {
  readonly #options: CapacityRunOptions;
  #connections: readonly LoadConnection[] = [];

  constructor(options: CapacityRunOptions) {
    this.#options = options;
  }

  async run(): Promise<number> {
    const { target, cleanup, flags } = this.#options;
    const keys = flags.integer("keys", 1);
    const searched = {
      from: flags.integer("from", 1),
      max: flags.integer("max", 1),
      precision: flags.number("precision", 0.001),
      probe: (rate: number) => this.#probe(rate),
      confirm: (rate: number) => this.#attempt(rate, flags.number("confirm-seconds", 1)),
    };
    await writeRevisions(target.members[0], { prefix: PREFIX, keys, revisions: keys });
    this.#connections = await target.connect(cleanup, flags.integer("connections", 1));
    return searchCapacity(searched);
  }

  /** One bad moment of the machine is not the end of the search. */
  async #probe(rate: number): Promise<boolean> {
    const { flags } = this.#options;
    for (let tries = flags.integer("tries", 1); tries > 0; tries--)
      if (await this.#attempt(rate, flags.number("seconds", 1))) return true;
    return false;
  }

  async #attempt(rate: number, seconds: number): Promise<boolean> {
    const { side, flags, next, progress, attempts } = this.#options;
    progress.show(`${side}: ${rate} requests/s for ${seconds} s`);
    const loop = new OpenLoop({ connections: this.#connections, perSecond: rate, next });
    await Promise.race([delay(WARM_UP_MS), loop.failed]);
    loop.take();
    const before = performance.eventLoopUtilization();
    await Promise.race([delay(seconds * 1000), loop.failed]);
    const sample = loop.take();
    const { utilization } = performance.eventLoopUtilization(before);
    await loop.stop(DRAIN_MS);
    const holds =
      sample.p99 <= flags.number("goal-p99-ms") && sample.answered >= rate * seconds * REACHED_MIN;
    const isGeneratorBusy = utilization > GENERATOR_BUSY;
    attempts.push({ ...sample, side, rate, seconds, holds, isGeneratorBusy });
    progress.note(describe(attempts[attempts.length - 1]));
    await delay(PAUSE_MS);
    return holds;
  }
}

function describe({ side, rate, seconds, p50, p99, p999, answered, holds, ...rest }: Attempt): string {
  const times = [p50, p99, p999].map((ms) => ms.toFixed(2)).join(" / ");
  const reached = Math.round(answered / seconds);
  const lag = rest.isGeneratorBusy
    ? `; the generator was busy, late by up to ${rest.lagMaxMs.toFixed(0)} ms`
    : "";
  return `${side}: ${rate}/s, ${seconds} s: ${holds ? "holds" : "does not hold"}; answered ${reached}/s, 50/99/99.9 % ${times} ms${lag}`;
}

/** What is sent: requests are made beforehand, so that the generator does not spend its time on protobuf. */
function requests(flags: Flags): () => RequestBody {
  const operation = flags.text("operation") ?? "";
  const putShare = OPERATIONS[operation];
  if (putShare === undefined)
    throw new UsageError(
      `--operation=${operation}: one of ${Object.keys(OPERATIONS).join(", ")} is expected`,
    );
  const value = Buffer.alloc(flags.integer("value-size"), "v");
  const keys = Array.from({ length: flags.integer("keys", 1) }, (_, index) => keyName(PREFIX, index));
  const puts = keys.map((key) => putRequest(key, value));
  const ranges = keys.map((key) => requestBody(KV.method.range, { key }));
  const prng = new Prng(SEED);
  return () => prng.pick(prng.below(100) < putShare * 100 ? puts : ranges);
}
