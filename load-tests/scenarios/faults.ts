/**
 * `npm run load -- faults`: members of a cluster are killed, stopped and paused under load. For each fault: how long no write was
 * acknowledged, and what was lost. Clients use the members that are not harmed, as those with more than one endpoint do; a call that got
 * stuck gives up after three seconds (test/support/cluster-load.ts).
 */
import { setTimeout as delay } from "node:timers/promises";
import { ourMember } from "../../test/support/binaries.ts";
import { assertLinearizable, ClusterLoad, type LoadReport } from "../../test/support/cluster-load.ts";
import { TestCluster } from "../../test/support/cluster.ts";
import {
  dataHashes,
  killMember,
  pauseMember,
  stopMember,
  type MemberFault,
} from "../../test/support/member-faults.ts";
import { ResumedWatch } from "../../test/support/resumed-watch.ts";
import { MEMBER_FLAGS } from "../side.ts";
import { acknowledgedWrites, lostWrites } from "./lost-writes.ts";
import { ProgressLine } from "./progress-line.ts";
import { circumstances, withCleanup } from "../circumstances.ts";
import { Results, textTable } from "./results.ts";
import type { Flags, Scenario } from "./scenario.ts";

type Role = "leader" | "follower";

const HARMS: Readonly<Record<string, MemberFault>> = {
  kill: killMember,
  restart: stopMember,
  pause: pauseMember,
};
const FAULTS_KNOWN = Object.keys(HARMS).flatMap((harm) => [`${harm}-leader`, `${harm}-follower`]);
/** Of a client between two requests: the history must stay short enough to be checked for linearizability. */
const REST_MS = 10;
const HISTORY_MS = 60_000;
const SHOW_MS = 500;

export const FAULTS: Scenario = {
  name: "faults",
  summary: "members are killed, stopped and paused: how long is it unavailable, is anything lost?",
  flags: {
    only: { value: "list", help: `by commas, of ${FAULTS_KNOWN.join(", ")}` },
    rounds: { value: "n", help: "times that each is done", fallback: 1 },
    members: { value: "n", help: "members that are started, 3 or more", fallback: 3 },
    clients: { value: "n", help: "clients, each with one request at a time", fallback: 16 },
    "calm-seconds": { value: "n", help: "before each fault and after it", fallback: 3 },
    "fault-seconds": { value: "n", help: "until what was harmed is mended", fallback: 5 },
    "gap-max-ms": {
      value: "ms",
      help: "longest time without an acknowledged write that passes",
      fallback: 5000,
    },
    program: { value: "binary", help: "members of this program, an etcd, in place of ours" },
    seed: { value: "n", help: "of the clients (chance unless given)" },
  },
  run: (flags) => withCleanup((cleanup) => runFaults(cleanup, flags)),
};

interface FaultOutcome {
  readonly fault: string;
  readonly member: string;
  /** Longest time without an acknowledged write from the fault to the end. */
  readonly gapMs: number;
  /** Acknowledged writes a second: before, while the member is harmed, and from when it is mended. */
  readonly rates: readonly number[];
  readonly acknowledged: number;
  /** Acknowledged writes that at least one member does not have. */
  readonly lost: number;
  readonly failedCalls: number;
  /** Empty if all is well. */
  readonly problems: readonly string[];
}

async function runFaults(cleanup: { after(fn: () => unknown): void }, flags: Flags): Promise<boolean> {
  const size = flags.integer("members", 3);
  const chosen = flags.subset("only", FAULTS_KNOWN);
  const rounds = flags.integer("rounds", 1);
  const gapMaxMs = flags.number("gap-max-ms");
  const seed = flags.isSet("seed") ? flags.integer("seed") : Date.now() % 1_000_000;
  const program = flags.text("program");
  const results = new Results("faults");
  const progress = new ProgressLine();
  progress.note(`seed ${seed}; starting ${size} members`);
  const cluster = new TestCluster(cleanup, {
    size,
    onDisk: true,
    args: MEMBER_FLAGS,
    program: () => (program === undefined ? ourMember() : { file: program, args: [] }),
  });
  await cluster.start();
  const outcomes: FaultOutcome[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const fault of chosen) {
      const trial = new FaultTrial({ cluster, flags, fault, seed: seed + outcomes.length, progress });
      outcomes.push(await trial.run(`faults/${outcomes.length}/`));
    }
  }
  progress.finish();
  await Promise.all(cluster.running.map((member) => member.stop()));
  return report(outcomes, { gapMaxMs, results });
}

interface FaultTrialOptions {
  readonly cluster: TestCluster;
  readonly flags: Flags;
  /** Such as `kill-leader`. */
  readonly fault: string;
  readonly seed: number;
  readonly progress: ProgressLine;
}

/** One fault, with the load before it, during it and after it. */
class FaultTrial {
  readonly #options: FaultTrialOptions;
  #harmed = "";

  constructor(options: FaultTrialOptions) {
    this.#options = options;
  }

  /** `prefix` is that of the keys, which nobody has used before. */
  async run(prefix: string): Promise<FaultOutcome> {
    const { cluster, flags, fault, seed } = this.#options;
    const [harm, role] = fault.split("-") as [string, Role];
    const calm = flags.number("calm-seconds", 1);
    const member = role === "leader" ? await cluster.leader() : await cluster.follower();
    const states = await cluster.converged();
    const load = new ClusterLoad({
      seed,
      prefix,
      restMs: REST_MS,
      clients: flags.integer("clients", 1),
      addresses: () =>
        cluster.running
          .filter((each) => each !== cluster.members.get(this.#harmed))
          .map(({ address }) => address),
    });
    try {
      const before = await this.#rate(load, calm);
      this.#harmed = member;
      const at = performance.now();
      const mend = await HARMS[harm](cluster, member);
      const during = await this.#rate(load, flags.number("fault-seconds", 1));
      await mend();
      this.#harmed = "";
      const after = await this.#rate(load, calm);
      const gapMs = load.longestGap(at);
      const report = await load.stop();
      const checked = await this.#check(report, { prefix, from: (states[0]?.revision ?? 0) + 1 });
      const failedCalls = [...report.failures.values()].reduce((sum, count) => sum + count, 0);
      const acknowledged = acknowledgedWrites(report.history).length;
      return { fault, member, gapMs, rates: [before, during, after], acknowledged, failedCalls, ...checked };
    } catch (error) {
      load.abandon();
      throw error;
    }
  }

  /** Lets the load go on. Resolves with its acknowledged writes a second. Rejects if a member ends that nobody has harmed. */
  async #rate(load: ClusterLoad, seconds: number): Promise<number> {
    const { cluster, fault, progress } = this.#options;
    const [startedAt, before] = [performance.now(), load.acknowledgedWrites];
    for (;;) {
      const elapsed = (performance.now() - startedAt) / 1000;
      const rate = (load.acknowledgedWrites - before) / Math.max(elapsed, 1e-3);
      for (const [name, { exit, log }] of cluster.members)
        if (exit !== undefined && name !== this.#harmed)
          throw new Error(`member ${name} has ended by itself: ${JSON.stringify(exit)}\n${log.slice(-2000)}`);
      if (elapsed >= seconds) return rate;
      progress.show(
        `${fault}${this.#harmed === "" ? "" : ` (${this.#harmed})`}: ${load.acknowledgedWrites} writes, ${rate.toFixed(0)}/s`,
      );
      await delay(Math.min(SHOW_MS, seconds * 1000));
    }
  }

  async #check(
    { history }: LoadReport,
    { prefix, from }: { prefix: string; from: number },
  ): Promise<Pick<FaultOutcome, "lost" | "problems">> {
    const { cluster, progress, fault } = this.#options;
    progress.show(`${fault}: checking ${history.length} operations`);
    const problems: string[] = [];
    const hashes = await dataHashes(cluster);
    if (hashes.size !== 1) problems.push("members differ");
    const writes = acknowledgedWrites(history);
    const last = Math.max(...writes.map(({ revision }) => revision));
    const lost = new Set<number>();
    for (const { address } of cluster.running) {
      const watch = new ResumedWatch({ addresses: () => [address], first: 0, prefix, from });
      try {
        await watch.reaches(last, HISTORY_MS);
      } finally {
        await watch.stop();
      }
      problems.push(...watch.faults);
      for (const { revision } of lostWrites(writes, watch.events)) lost.add(revision);
    }
    try {
      assertLinearizable(history);
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
    return { lost: lost.size, problems };
  }
}

function report(
  outcomes: readonly FaultOutcome[],
  { gapMaxMs, results }: { gapMaxMs: number; results: Results },
): boolean {
  const { command, commit, machine } = circumstances("load");
  const header = [
    "fault",
    "member",
    "no write for ms",
    "writes/s before",
    "during",
    "after",
    "failed calls",
    "acknowledged",
    "lost",
  ];
  const rows = outcomes.map((outcome) => {
    const rates = outcome.rates.map((rate) => rate.toFixed(0));
    const counts = [outcome.failedCalls, outcome.acknowledged, outcome.lost].map(String);
    return [outcome.fault, outcome.member, outcome.gapMs.toFixed(0), ...rates, ...counts];
  });
  console.log(`\n${command}\ncommit ${commit}, ${machine}\n\n${textTable([header, ...rows])}\n`);
  const problems = outcomes.flatMap(({ fault, gapMs, lost, problems }) => [
    ...(lost > 0 ? [`${fault}: ${lost} acknowledged writes are lost`] : []),
    ...(gapMs > gapMaxMs ? [`${fault}: no write for ${gapMs.toFixed(0)} ms, the limit is ${gapMaxMs}`] : []),
    ...problems.map((problem) => `${fault}: ${problem}`),
  ]);
  for (const problem of problems) console.log(`FAILED  ${problem}`);
  if (problems.length === 0)
    console.log("passed  nothing lost, histories linearizable, members alike, each gap within its limit");
  console.log(`details: ${results.writeJson({ gapMaxMs, outcomes })}`);
  return problems.length === 0;
}
