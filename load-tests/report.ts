/** The result of a comparison as JSON and as Markdown. */
import type { Circumstances } from "./circumstances.ts";
import type { Figure, Series } from "./figure.ts";
import type { LoadSample } from "./measure.ts";

/** A load with all samples of both members. */
export interface LoadRow {
  readonly name: string;
  readonly title: string;
  readonly tool: string;
  readonly ours: readonly LoadSample[];
  readonly theirs: readonly LoadSample[];
}

/** A figure of both members. */
export interface FigureRow {
  readonly ours: Figure;
  readonly theirs: Figure;
}

/** Everything that a run found, and how. */
export interface Report extends Circumstances {
  readonly versions: { readonly ours: string; readonly theirs: string };
  readonly seconds: number;
  readonly rounds: number;
  readonly warmUpSeconds: number;
  readonly loads: readonly LoadRow[];
  readonly figures: readonly FigureRow[];
  readonly series: readonly Series[];
  /** Loads that could not be run, with the reason. */
  readonly failures: readonly string[];
}

/** Tables for a terminal and for docs/BENCHMARKS.md alike. */
export function renderMarkdown(report: Report): string {
  const parts = [
    `Ours (${report.versions.ours}, commit ${report.commit}) beside etcd ${report.versions.theirs} on ${report.machine}.`,
    `Command: \`${report.command}\`. Each load ran ${report.seconds} s, ${report.rounds} times on each member in turns, behind ` +
      `${report.warmUpSeconds} s of it that are not counted; ` +
      "rates, CPU and latencies are means of the rounds. Figures (second table) were measured once.",
  ];
  if (report.loads.length > 0) parts.push(loadTable(report.loads), LEGEND);
  if (report.figures.length > 0) parts.push(figureTable(report.figures));
  for (const series of report.series) parts.push(`${series.title}:`, seriesTable(series));
  if (report.failures.length > 0)
    parts.push(["Not measured:", ...report.failures.map((text) => `- ${text}`)].join("\n"));
  return `${parts.join("\n\n")}\n`;
}

const LEGEND =
  "Each cell: ours / theirs. h2load repeats one request from one thread; `generator` is our own client, one thread of Node " +
  "with different requests, which takes its share of the same cores. CPU is the server's own, user and system.";

function loadTable(rows: readonly LoadRow[]): string {
  const header = [
    "load",
    "with",
    "requests/s",
    "ratio",
    "50 % ms",
    "99 % ms",
    "99.9 % ms",
    "CPU us/request",
    "ratio",
    "RSS MB",
  ];
  return table(
    header,
    rows.map((row) => {
      const [ours, theirs] = [meanSample(row.ours), meanSample(row.theirs)];
      const pair = (pick: (sample: LoadSample) => number): string =>
        `${round(pick(ours))} / ${round(pick(theirs))}`;
      return [
        row.title,
        row.tool,
        pair((s) => s.requestsPerSecond),
        `**${round(ours.requestsPerSecond / theirs.requestsPerSecond)}**`,
        pair((s) => s.p50),
        pair((s) => s.p99),
        pair((s) => s.p999),
        pair((s) => s.cpuMicrosPerRequest),
        round(ours.cpuMicrosPerRequest / theirs.cpuMicrosPerRequest),
        pair((s) => s.rssBytes / 1e6),
      ];
    }),
  );
}

function figureTable(rows: readonly FigureRow[]): string {
  return table(
    ["figure", "unit", "better", "ours", "theirs", "ours/theirs"],
    rows.map(({ ours, theirs }) => [
      ours.what,
      ours.unit,
      ours.lowerIsBetter ? "lower" : "higher",
      round(ours.value),
      round(theirs.value),
      round(ours.value / theirs.value),
    ]),
  );
}

function seriesTable({ header, rows }: Series): string {
  return table(
    header,
    rows.map((row) => row.map(round)),
  );
}

function meanSample(samples: readonly LoadSample[]): LoadSample {
  const mean = (pick: (sample: LoadSample) => number): number =>
    samples.reduce((sum, sample) => sum + pick(sample), 0) / samples.length;
  return {
    requestsPerSecond: mean((s) => s.requestsPerSecond),
    cpuMicrosPerRequest: mean((s) => s.cpuMicrosPerRequest),
    rssBytes: mean((s) => s.rssBytes),
    p50: mean((s) => s.p50),
    p99: mean((s) => s.p99),
    p999: mean((s) => s.p999),
    max: mean((s) => s.max),
  };
}

function table(header: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Three significant digits, thousands apart. */
function round(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 4 });
}
