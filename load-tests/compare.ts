/**
 * `npm run compare -- --etcd <binary>`: the same loads on our member and on an etcd, in turns on one machine, as one report.
 * Reading order: this file, loads.ts and figures.ts (what is run), measure.ts, then generator.ts and h2load.ts.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ourMember, PROJECT_ROOT, referenceMember, type Program } from "../test/support/binaries.ts";
import type { Cleanup } from "../test/support/temp-dir.ts";
import { BIG_RANGE, MILLION_KEYS, RESTART, START, type FigureLoad } from "./figures.ts";
import { hasH2load } from "./h2load.ts";
import { LOADS, type Load } from "./loads.ts";
import { renderMarkdown, type FigureRow, type LoadRow, type Report } from "./report.ts";
import { Side } from "./side.ts";

const USAGE = `npm run compare -- [options]
  --etcd <binary>      the etcd to compare with (default: etcd on PATH)
  --only <names>       only these, separated by commas
  --seconds <n>        length of each load (default 3)
  --rounds <n>         times each load runs on each member (default 2)
  --json <file>        writes all samples
  --markdown <file>    writes the tables
  --data <folder>      where the data directories are made (default: the system's temporary folder)
  --ours <binary>      another member in place of ours, to check the tool itself
  --list               lists the names`;

const FIGURES: readonly FigureLoad[] = [START, MILLION_KEYS, RESTART, BIG_RANGE];

const { values: flags } = parseArgs({
  options: {
    etcd: { type: "string" },
    only: { type: "string" },
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "2" },
    json: { type: "string" },
    markdown: { type: "string" },
    data: { type: "string", default: tmpdir() },
    ours: { type: "string" },
    list: { type: "boolean" },
    help: { type: "boolean" },
  },
});
async function compare(): Promise<void> {
  const undo: Array<() => unknown> = [];
  const cleanup: Cleanup = { after: (fn) => undo.push(fn) };
  const folder = mkdtempSync(join(flags.data, "concord-compare-"));
  cleanup.after(() => rmSync(folder, { recursive: true, force: true }));
  const makeSide = (name: string, program: Program): Side => new Side({ name, program, folder, cleanup });
  const sides: Sides = [makeSide("ours", oursProgram()), makeSide("theirs", theirsProgram())];
  try {
    const report = await new Comparison(sides).run();
    console.log(`\n${renderMarkdown(report)}`);
    if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(report, undefined, 2)}\n`);
    if (flags.markdown !== undefined) writeFileSync(flags.markdown, renderMarkdown(report));
    if (report.failures.length > 0) process.exitCode = 1;
  } finally {
    for (const side of sides) await side.stop();
    for (const fn of undo.reverse()) await fn();
  }
}

type Sides = readonly [ours: Side, theirs: Side];

class Comparison {
  readonly #sides: Sides;
  readonly #loads: LoadRow[] = [];
  readonly #figures: FigureRow[] = [];
  readonly #failures: string[] = [];

  constructor(sides: Sides) {
    this.#sides = sides;
  }

  async run(): Promise<Report> {
    if (isChosen(START.name)) await this.#attempt(START.name, () => this.#measureFigures(START));
    await Promise.all(this.#sides.map((side) => side.start()));
    const [ours, theirs] = await Promise.all(this.#sides.map((side) => side.version()));
    for (const load of LOADS)
      if (isChosen(load.name)) await this.#attempt(load.name, () => this.#measureLoad(load));
    for (const load of [MILLION_KEYS, RESTART, BIG_RANGE]) {
      if (isChosen(load.name)) await this.#attempt(load.name, () => this.#measureFigures(load));
    }
    return {
      command: `npm run compare -- ${process.argv
        .slice(2)
        .map((word) => word.replace(/^.*\//, ""))
        .join(" ")}`,
      commit: execFileSync("git", ["-C", PROJECT_ROOT, "rev-parse", "--short", "HEAD"], {
        encoding: "utf8",
      }).trim(),
      machine: machine(),
      versions: { ours: ours, theirs: theirs },
      seconds: Number(flags.seconds),
      rounds: Number(flags.rounds),
      loads: this.#loads,
      figures: this.#figures,
      failures: this.#failures,
    };
  }

  /** A load that fails is reported as such; the others still run. */
  async #attempt(name: string, measure: () => Promise<void>): Promise<void> {
    try {
      await measure();
    } catch (error) {
      this.#failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      console.error(error);
      for (const side of this.#sides) await side.start();
    }
  }

  async #measureLoad(load: Load): Promise<void> {
    if (load.tool === "h2load" && !hasH2load())
      throw new Error("h2load is not on PATH (package nghttp2-client)");
    for (const side of this.#sides) await load.prepare(side);
    const [ours, theirs] = this.#sides;
    const row: LoadRow & { ours: Sample[]; theirs: Sample[] } = { ...load, ours: [], theirs: [] };
    for (let round = 0; round < Number(flags.rounds); round++) {
      row.ours.push(await load.measure(ours, Number(flags.seconds)));
      row.theirs.push(await load.measure(theirs, Number(flags.seconds)));
      progress(load.name, row.ours.at(-1)?.requestsPerSecond, row.theirs.at(-1)?.requestsPerSecond);
    }
    this.#loads.push({
      name: row.name,
      title: row.title,
      tool: row.tool,
      ours: row.ours,
      theirs: row.theirs,
    });
  }

  async #measureFigures(load: FigureLoad): Promise<void> {
    const [ours, theirs] = [await load.measure(this.#sides[0]), await load.measure(this.#sides[1])];
    ours.forEach((figure, index) => {
      const other = theirs[index];
      progress(figure.what, figure.value, other.value);
      this.#figures.push({ ours: figure, theirs: other });
    });
  }
}

type Sample = LoadRow["ours"][number];

function isChosen(name: string): boolean {
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

function machine(): string {
  return `${cpus().length} cores, ${Math.round(totalmem() / 1e9)} GB, ${process.platform}, Node ${process.version}`;
}

function progress(what: string, ours: number | undefined, theirs: number | undefined): void {
  console.error(`${what}: ours ${ours?.toFixed(1)}, theirs ${theirs?.toFixed(1)}`);
}

if (flags.help) console.log(USAGE);
else if (flags.list) console.log([...LOADS, ...FIGURES].map(({ name }) => name).join("\n"));
else await compare();
