/**
 * `npm run compare -- --etcd <binary>`: the same loads on our member and on an etcd, in turns on one machine, as one report.
 * Reading order: this file, loads.ts and figures.ts (what is run), measure.ts, then generator.ts and h2load.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ourMember, referenceMember, type Program } from "../test/support/binaries.ts";
import type { Cleanup } from "../test/support/temp-dir.ts";
import { circumstances, withCleanup } from "./circumstances.ts";
import type { Series } from "./figure.ts";
import { BIG_RANGE, MILLION_KEYS, RESTART, START, type Extent, type FigureLoad } from "./figures.ts";
import { hasH2load } from "./h2load.ts";
import { LEASE_STORM } from "./lease-storm.ts";
import { CLUSTER_LOADS, LOADS, type Load } from "./loads.ts";
import { MAINTENANCE_FIGURES } from "./maintenance-figures.ts";
import { MEMORY_FLAT } from "./memory-flat.ts";
import { renderMarkdown, type FigureRow, type LoadRow, type Report } from "./report.ts";
import { ClusterSide } from "./cluster-side.ts";
import { Side, type LoadTarget } from "./side.ts";
import { WATCH_FIGURES } from "./watch-figures.ts";

const USAGE = `npm run compare -- [options]
  --etcd <binary>      the etcd to compare with (default: etcd on PATH)
  --members <n>        compares clusters of so many members; 1 (the default) compares members
  --only <names>       only these, separated by commas
  --seconds <n>        length of each load (default 3)
  --rounds <n>         times each load runs on each member (default 2)
  --warm-up <n>        seconds that each load runs on each member before its first round (default 5)
  --json <file>        writes all samples
  --markdown <file>    writes the tables
  --data <folder>      where the data directories are made (default: the system's temporary folder)
  --scale <share>      share of the watchers, leases and keys of the data API's loads, for a short run (default 1)
  --minutes <n>        length of memory-flat on each member (default 3)
  --ours <binary>      another member in place of ours, to check the tool itself
  --list               lists the names`;

/** In this order, after the loads; START comes before them. The later ones start members of their own. */
const FIGURES: readonly FigureLoad[] = [
  MILLION_KEYS,
  RESTART,
  BIG_RANGE,
  ...MAINTENANCE_FIGURES,
  ...WATCH_FIGURES,
  LEASE_STORM,
  MEMORY_FLAT,
];

const { values: flags } = parseArgs({
  options: {
    etcd: { type: "string" },
    members: { type: "string", default: "1" },
    only: { type: "string" },
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "2" },
    "warm-up": { type: "string", default: "5" },
    scale: { type: "string", default: "1" },
    minutes: { type: "string", default: "3" },
    json: { type: "string" },
    markdown: { type: "string" },
    data: { type: "string", default: tmpdir() },
    ours: { type: "string" },
    list: { type: "boolean" },
    help: { type: "boolean" },
  },
});
async function compare(cleanup: Cleanup): Promise<void> {
  const folder = mkdtempSync(join(flags.data, "concord-compare-"));
  cleanup.after(() => rmSync(folder, { recursive: true, force: true }));
  const makeSide = (name: string, program: Program): Side => new Side({ name, program, folder, cleanup });
  const makeCluster = (name: string, program: Program): ClusterSide =>
    new ClusterSide({ name, program, size: Number(flags.members), cleanup });
  const comparison =
    flags.members === "1"
      ? new MemberComparison([makeSide("ours", oursProgram()), makeSide("theirs", theirsProgram())])
      : new ClusterComparison([makeCluster("ours", oursProgram()), makeCluster("theirs", theirsProgram())]);
  try {
    const report = await comparison.run();
    console.log(`\n${renderMarkdown(report)}`);
    if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(report, undefined, 2)}\n`);
    if (flags.markdown !== undefined) writeFileSync(flags.markdown, renderMarkdown(report));
    if (report.failures.length > 0) process.exitCode = 1;
  } finally {
    await comparison.stop();
  }
}

/** What both kinds of comparison do alike. */
abstract class Comparison {
  readonly loads: LoadRow[] = [];
  readonly figures: FigureRow[] = [];
  readonly series: Series[] = [];
  readonly failures: string[] = [];

  /** Runs everything that was chosen. */
  abstract run(): Promise<Report>;
  abstract stop(): Promise<void>;

  protected report(ours: string, theirs: string): Report {
    return {
      ...circumstances("compare"),
      versions: { ours, theirs },
      seconds: Number(flags.seconds),
      rounds: Number(flags.rounds),
      warmUpSeconds: Number(flags["warm-up"]),
      loads: this.loads,
      figures: this.figures,
      series: this.series,
      failures: this.failures,
    };
  }

  protected async measureLoad(load: Load, [ours, theirs]: Pair<LoadTarget>): Promise<void> {
    if (load.tool === "h2load" && !hasH2load())
      throw new Error("h2load is not on PATH (package nghttp2-client)");
    for (const side of [ours, theirs]) await load.prepare(side);
    await warmUp(load, [ours, theirs]);
    const { name, title, tool } = load;
    const row = { name, title, tool, ours: [] as Sample[], theirs: [] as Sample[] };
    for (let round = 0; round < Number(flags.rounds); round++) {
      row.ours.push(await load.measure(ours, Number(flags.seconds)));
      row.theirs.push(await load.measure(theirs, Number(flags.seconds)));
      progress(load.name, row.ours.at(-1)?.requestsPerSecond, row.theirs.at(-1)?.requestsPerSecond);
    }
    this.loads.push(row);
  }

  /** A load that fails is reported as such; the others still run. */
  protected async attempt(name: string, measure: () => Promise<void>): Promise<boolean> {
    try {
      await measure();
      return true;
    } catch (error) {
      this.failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      console.error(error);
      return false;
    }
  }
}

type Pair<T> = readonly [ours: T, theirs: T];

/** Two members. */
class MemberComparison extends Comparison {
  readonly #sides: Pair<Side>;

  constructor(sides: Pair<Side>) {
    super();
    this.#sides = sides;
  }

  async run(): Promise<Report> {
    await this.#measure(START);
    await Promise.all(this.#sides.map((side) => side.start()));
    const [ours, theirs] = await Promise.all(this.#sides.map((side) => side.version()));
    for (const load of LOADS.filter(isChosen)) {
      if (!(await this.attempt(load.name, () => this.measureLoad(load, this.#sides))))
        await this.#startAnew();
    }
    for (const load of FIGURES) await this.#measure(load);
    return this.report(ours, theirs);
  }

  async stop(): Promise<void> {
    for (const side of this.#sides) await side.stop();
  }

  async #measure(load: FigureLoad): Promise<void> {
    if (!isChosen(load)) return;
    const extent: Extent = {
      seconds: Number(flags.seconds),
      minutes: Number(flags.minutes),
      scaled: (count) => Math.max(1, Math.round(count * Number(flags.scale))),
      addSeries: (series) => this.series.push(series),
    };
    const done = await this.attempt(load.name, async () => {
      const [ours, theirs] = [
        await load.measure(this.#sides[0], extent),
        await load.measure(this.#sides[1], extent),
      ];
      ours.forEach((figure, index) => {
        const other = theirs[index];
        progress(figure.what, figure.value, other.value);
        this.figures.push({ ours: figure, theirs: other });
      });
    });
    if (!done) await this.#startAnew();
  }

  async #startAnew(): Promise<void> {
    for (const side of this.#sides) await side.start();
  }
}

/** Two clusters, of which only one is under load at a time. */
class ClusterComparison extends Comparison {
  readonly #sides: Pair<ClusterSide>;

  constructor(sides: Pair<ClusterSide>) {
    super();
    this.#sides = sides;
  }

  async run(): Promise<Report> {
    for (const side of this.#sides) await side.start();
    const [ours, theirs] = [await this.#sides[0].version(), await this.#sides[1].version()];
    for (const load of CLUSTER_LOADS.filter(isChosen)) {
      await this.attempt(load.name, async () => {
        const targets: Pair<LoadTarget> = [
          await this.#sides[0].through(load.through),
          await this.#sides[1].through(load.through),
        ];
        await this.measureLoad(load, targets);
      });
    }
    return this.report(ours, theirs);
  }

  async stop(): Promise<void> {
    for (const side of this.#sides) await side.stop();
  }
}

type Sample = LoadRow["ours"][number];

/**
 * A server that is measured has run for longer than a round: a JIT compiles for the first thousands of requests of a kind, which
 * one writer sends in several rounds.
 */
async function warmUp(load: Load, sides: Pair<LoadTarget>): Promise<void> {
  const seconds = Number(flags["warm-up"]);
  if (seconds === 0) return;
  for (const side of sides) await load.measure(side, seconds);
}

function isChosen({ name }: { readonly name: string }): boolean {
  return flags.only === undefined || flags.only.split(",").includes(name);
}

function oursProgram(): Program {
  return flags.ours === undefined ? ourMember() : { file: flags.ours, args: [] };
}

function theirsProgram(): Program {
  const program = flags.etcd === undefined ? referenceMember() : { file: flags.etcd, args: [] };
  if (program === undefined) throw new Error("no etcd on PATH: name one with --etcd");
  return program;
}

function progress(what: string, ours: number | undefined, theirs: number | undefined): void {
  console.error(`${what}: ours ${ours?.toFixed(1)}, theirs ${theirs?.toFixed(1)}`);
}

if (flags.help) console.log(USAGE);
else if (flags.list)
  console.log([...LOADS, ...CLUSTER_LOADS, START, ...FIGURES].map(({ name }) => name).join("\n"));
else await withCleanup(compare);
