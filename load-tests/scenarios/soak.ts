/**
 * `npm run load -- soak`: a mixed load for hours. Each second it notes memory, latencies, rate and database size; in the end it says whether
 * memory grows or latencies drift, and draws all of it. Read next: soak-load.ts, soak-verdict.ts.
 */
import { appendFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import { CollectionRecord } from "./collected-memory.ts";
import { ProgressLine } from "./progress-line.ts";
import { circumstances, withCleanup } from "../circumstances.ts";
import { Results } from "./results.ts";
import { UsageError, type Flags, type Scenario } from "./scenario.ts";
import { SoakLoad, type SoakLoadOptions } from "./soak-load.ts";
import { JUDGED_SECONDS_MIN, judgeSoak, type SoakSample } from "./soak-verdict.ts";
import { renderSvg } from "./svg-chart.ts";
import { Target, TARGET_FLAGS } from "./target.ts";

const SAMPLE_MS = 1_000;
/** The drawing is kept current, so that a run that is cut off leaves one. */
const DRAW_EVERY_SAMPLES = 60;
/** So that memory can be judged by what collections leave: a heap that grows to its next one looks like a leak for an hour. */
const PROFILES_ARG = "--enable-pprof";
/** The values of the newest writes are kept in memory: with the default of 128 MiB that would grow for hours. This is full in minutes. */
const MEMBER_ARGS = [PROFILES_ARG, "--value-cache-bytes", `${8 * 1024 ** 2}`];
const WARM_UP_SHARE = 0.2;
const WARM_UP_SECONDS_MAX = 600;

export const SOAK: Scenario = {
  name: "soak",
  summary: "a mixed load for hours: does memory grow, do latencies drift?",
  flags: {
    ...TARGET_FLAGS,
    hours: { value: "n", help: "length; with --minutes both are added" },
    minutes: { value: "n", help: `length (60 minutes without either)` },
    rate: { value: "n", help: "requests a second, sent whatever the answers do", fallback: 500 },
    keys: { value: "n", help: "keys that are read and written", fallback: 10_000 },
    watchers: { value: "n", help: "watchers of all keys, on each member", fallback: 4 },
    leases: { value: "n", help: "leases that are kept alive", fallback: 100 },
    "compact-seconds": { value: "n", help: "between two compactions", fallback: 60 },
    "collect-seconds": {
      value: "n",
      help: `between two full collections of all threads, by which memory is judged; 0: none (a member has none without ${PROFILES_ARG})`,
      fallback: 60,
    },
    "warm-up-minutes": { value: "n", help: "are not judged (a fifth of the run, at most 10, unless given)" },
    "rss-slope-max": {
      value: "MB/h",
      help: "growth of a member's memory, mapped files apart, that still passes",
      fallback: 20,
    },
    "drift-max": {
      value: "factor",
      help: "rise of the median and of the 99 % latency that passes",
      fallback: 1.5,
    },
  },
  run: (flags) => withCleanup((cleanup) => runSoak(cleanup, flags)),
};

async function runSoak(cleanup: { after(fn: () => unknown): void }, flags: Flags): Promise<boolean> {
  const seconds = lengthOf(flags);
  const limits = {
    warmUpSeconds: flags.isSet("warm-up-minutes")
      ? flags.number("warm-up-minutes") * 60
      : Math.min(seconds * WARM_UP_SHARE, WARM_UP_SECONDS_MAX),
    rssSlopeMbPerHourMax: flags.number("rss-slope-max"),
    driftMax: flags.number("drift-max", 1),
  };
  const options = {
    perSecond: flags.number("rate", 1),
    keys: flags.integer("keys", 1),
    watchers: flags.integer("watchers", 1),
    leases: flags.integer("leases"),
    compactionSeconds: flags.number("compact-seconds", 1),
  };
  const collectSeconds = flags.integer("collect-seconds");
  const target = await Target.fromFlags(cleanup, flags, { args: MEMBER_ARGS });
  const record = new SoakRecord(target, limits.warmUpSeconds);
  await target.whileAlive(soak(record, { target, cleanup, ...options }, { seconds, collectSeconds }));
  await target.close();
  const names = target.members.map(({ name }) => name);
  return report(record, judgeSoak(record.samples, names, limits), options);
}

/** The load itself, for so many seconds, with a sample a second and a collection now and then. */
async function soak(
  record: SoakRecord,
  options: SoakLoadOptions,
  { seconds, collectSeconds }: { seconds: number; collectSeconds: number },
): Promise<void> {
  const load = await SoakLoad.start(options);
  const progress = new ProgressLine();
  const startedAt = performance.now();
  for (let at = SAMPLE_MS; at <= seconds * 1000; at += SAMPLE_MS) {
    // Late after a collection on a machine with much other work.
    await Promise.race([delay(Math.max(0, startedAt + at - performance.now())), load.failed]);
    const isCollected = collectSeconds > 0 && (at / 1000) % collectSeconds === 0;
    const collected = isCollected ? await Promise.race([record.collect(at / 1000), load.failed]) : null;
    const sample = await Promise.race([takeSample(options.target, load, at / 1000), load.failed]);
    const whole = { ...sample, collected };
    record.add(whole);
    progress.show(describe(whole, seconds));
  }
  progress.finish();
  await load.stop();
}

function lengthOf(flags: Flags): number {
  const hours = flags.isSet("hours") ? flags.number("hours") : 0;
  const minutes = flags.isSet("minutes") ? flags.number("minutes") : flags.isSet("hours") ? 0 : 60;
  const seconds = Math.round(hours * 3600 + minutes * 60);
  if (seconds === 0) throw new UsageError("--hours and --minutes make no time");
  return seconds;
}

async function takeSample(
  target: Target,
  load: SoakLoad,
  seconds: number,
): Promise<Omit<SoakSample, "collected">> {
  const { p50, p99, p999, max, answered } = load.loop.take();
  const states = await Promise.all(
    target.members.map(async (member) => ({
      memory: await member.memory(),
      status: await member.client.call(Maintenance.method.status, {}),
    })),
  );
  return {
    seconds,
    perSecond: answered / (SAMPLE_MS / 1000),
    p50,
    p99,
    p999,
    max,
    rss: states.map(({ memory }) => memory.rss),
    mapped: states.map(({ memory }) => memory.mapped),
    databaseSize: states.map(({ status }) => Number(status.dbSize)),
    databaseInUse: states.map(({ status }) => Number(status.dbSizeInUse)),
    events: load.takeEvents(),
  };
}

function describe({ seconds, perSecond, p50, p99, p999, rss }: SoakSample, whole: number): string {
  const memory = rss.map((bytes) => (bytes / 1e6).toFixed(0)).join(" ");
  const times = [p50, p99, p999].map((ms) => ms.toFixed(1)).join(" / ");
  return `${seconds} of ${whole} s: ${perSecond}/s, 50/99/99.9 % ${times} ms, memory ${memory} MB`;
}

/** All samples, on disk as they come. */
class SoakRecord {
  readonly samples: SoakSample[] = [];
  readonly results = new Results("soak");
  readonly #target: Target;
  readonly #collections = new CollectionRecord(this.results);
  readonly #names: readonly string[];
  readonly #warmUpSeconds: number;

  constructor(target: Target, warmUpSeconds: number) {
    this.#target = target;
    this.#names = target.members.map(({ name }) => name);
    this.#warmUpSeconds = warmUpSeconds;
    const each = (what: string): string[] => this.#names.map((name) => `${what} ${name}`);
    const header = ["s", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "events/s"];
    this.results.write(
      "csv",
      `${[...header, ...each("RSS"), ...each("mapped"), ...each("database"), ...each("database in use")].join(",")}\n`,
    );
  }

  /** Collects in all members and notes what is left; null unless all of them can. */
  async collect(seconds: number): Promise<number[] | null> {
    const left: number[] = [];
    // One after the other: while a member stands still, the others are a quorum.
    for (const member of this.#target.members) {
      const memory = await member.collect();
      if (memory === null) return null;
      this.#collections.add(seconds, member.name, memory);
      left.push(memory.rss - memory.mapped);
    }
    return left;
  }

  add(sample: SoakSample): void {
    this.samples.push(sample);
    const { seconds, perSecond, p50, p99, p999, max, events, rss, mapped, databaseSize, databaseInUse } =
      sample;
    const times = [p50, p99, p999, max].map((ms) => ms.toFixed(3));
    const cells = [
      seconds,
      perSecond,
      ...times,
      events,
      ...rss,
      ...mapped,
      ...databaseSize,
      ...databaseInUse,
    ];
    appendFileSync(this.results.path("csv"), `${cells.join(",")}\n`);
    if (this.samples.length % DRAW_EVERY_SAMPLES === 0) this.draw();
  }

  /** Returns the drawing's path. */
  draw(): string {
    const { samples } = this;
    const { command, commit } = circumstances("load");
    const line = (name: string, reduce: "mean" | "max", pick: (sample: SoakSample) => number) => ({
      name,
      reduce,
      values: samples.map(pick),
    });
    const eachMember = (pick: (sample: SoakSample, member: number) => number) =>
      this.#names.map((name, member) => line(name, "mean", (sample) => pick(sample, member) / 1e6));
    return this.results.write(
      "svg",
      renderSvg({
        title: `${command} (commit ${commit})`,
        seconds: { from: samples[0].seconds, to: samples[samples.length - 1].seconds },
        marks: [{ seconds: this.#warmUpSeconds, label: "judged from here" }],
        panels: [
          {
            title: "latency, ms",
            isLogarithmic: true,
            lines: [
              line("50 %", "mean", ({ p50 }) => p50),
              line("99 %", "mean", ({ p99 }) => p99),
              line("99.9 %, highest", "max", ({ p999 }) => p999),
            ],
          },
          { title: "resident memory, MB", lines: eachMember(({ rss }, member) => rss[member]) },
          {
            title: "of it without mapped files, MB",
            lines: eachMember(({ rss, mapped }, member) => rss[member] - mapped[member]),
          },
          ...(samples.some(({ collected }) => collected !== null)
            ? [
                {
                  title: "of that after full collections, MB",
                  lines: eachMember(({ collected }, member) => collected?.[member] ?? Number.NaN),
                },
              ]
            : []),
          {
            title: "database file, MB",
            lines: eachMember(({ databaseSize }, member) => databaseSize[member]),
          },
          {
            title: "a second",
            lines: [
              line("requests", "mean", ({ perSecond }) => perSecond),
              line("watch events", "mean", ({ events }) => events),
            ],
          },
        ],
      }),
    );
  }
}

function report(record: SoakRecord, judgements: ReturnType<typeof judgeSoak>, options: object): boolean {
  const { command, commit, machine } = circumstances("load");
  console.log(`\n${command}\ncommit ${commit}, ${machine}\n`);
  for (const { what, passed } of judgements)
    console.log(`${passed === null ? "NOT JUDGED" : passed ? "passed" : "FAILED"}  ${what}`);
  console.log("passed  every request answered, every change told to every watcher once, no lease lost");
  const files = [record.draw(), record.results.writeJson({ options, judgements })];
  console.log(`samples, drawing and verdict: ${files.join(", ").replace(/\.svg.*/, ".{csv,svg,json}")}`);
  if (judgements.some(({ passed }) => passed === null))
    console.log(
      `No verdict on memory and latency below ${JUDGED_SECONDS_MIN / 60} minutes behind the warm-up.`,
    );
  return judgements.every(({ passed }) => passed !== false);
}
