/**
 * Asks a Prometheus for every expression of the dashboards in deploy/grafana/dashboards, and names the panels without data, and those
 * that would not show it well on a window 1600 pixels wide: they overlap, cut their title, or have more in their legend than its room.
 *
 * Usage: node scripts/check-dashboards.ts http://127.0.0.1:9090 [job] [dashboard.json …]
 *
 * Template variables are filled in as Grafana would: `$job` with the job (etcd unless named), `$instance` with each of its instances.
 * Exits with 1 when a panel has no data (no series, or numbers of which none is one) or is not well laid out.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly gridPos: Place;
  readonly description?: string;
  readonly options?: { readonly legend?: { readonly placement: string } };
  readonly targets?: ReadonlyArray<{ readonly expr: string; readonly legendFormat?: string }>;
  readonly panels?: readonly Panel[];
}

interface Result {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

const FOLDER = join(import.meta.dirname, "../deploy/grafana/dashboards");
const RATE_INTERVAL = "1m";
const COLUMNS = 24;
/** Pixels, as measured in Grafana 10.2: of the window, of a panel's parts, and of the letters in it. */
const COLUMN_PX = 65.5;
const ROW_PX = 38;
const PANEL_EDGE_PX = 58;
const TITLE_LETTER_PX = 8.1;
const TITLE_EDGE_PX = 28;
const DESCRIPTION_MARK_PX = 24;
const LEGEND_LETTER_PX = 6.6;
const LEGEND_MARK_PX = 32;
const LEGEND_ROW_PX = 24;
const LEGEND_EDGE_PX = 13;
/** A legend below takes at most this share of its panel. */
const LEGEND_SHARE_MAX = 0.35;
const LEGEND_ROW_BESIDE_PX = 22.9;

const [url, job = "etcd", ...paths] = process.argv.slice(2);
if (url === undefined)
  throw new Error("usage: node scripts/check-dashboards.ts <Prometheus URL> [job] [file …]");

async function query(expression: string): Promise<readonly Result[]> {
  const response = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expression)}`);
  const { status, data, error } = (await response.json()) as {
    status: string;
    data: { result: readonly Result[] };
    error?: string;
  };
  if (status !== "success") throw new Error(`${expression}: ${error}`);
  return data.result;
}

function hasData(results: readonly Result[]): boolean {
  return results.some(({ value }) => !Number.isNaN(Number(value[1])));
}

function allPanels(panels: readonly Panel[]): readonly Panel[] {
  return panels.flatMap((panel) => [panel, ...allPanels(panel.panels ?? [])]);
}

/** The expressions to ask for one of a panel: one an instance, if it is about one. */
function fillIn(expression: string, instances: readonly string[]): string[] {
  const filled = expression.replaceAll("$__rate_interval", RATE_INTERVAL).replaceAll("$job", job);
  if (!filled.includes("$instance")) return [filled];
  return instances.map((instance) => filled.replaceAll("$instance", instance));
}

function overlaps(a: Place, b: Place): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

/** What is wrong with how panels lie beside each other, and with their titles. */
function layoutFaults(panels: readonly Panel[]): string[] {
  return panels.flatMap(({ title, gridPos, type, description }, index) => {
    const faults = panels
      .slice(index + 1)
      .filter((other) => overlaps(gridPos, other.gridPos))
      .map((other) => `${title}: overlaps ${other.title}`);
    if (gridPos.x + gridPos.w > COLUMNS) faults.push(`${title}: wider than the dashboard`);
    const titlePx = title.length * TITLE_LETTER_PX + (description ? DESCRIPTION_MARK_PX : 0) + TITLE_EDGE_PX;
    if (type !== "row" && titlePx > gridPos.w * COLUMN_PX) faults.push(`${title}: its title is cut`);
    return faults;
  });
}

/** How Grafana names a series. */
function nameOf(legendFormat: string, { metric }: Result): string {
  return legendFormat.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => metric[label] ?? "");
}

function legendFits({ gridPos, options }: Panel, names: readonly string[]): boolean {
  const heightPx = gridPos.h * ROW_PX - PANEL_EDGE_PX;
  if (options?.legend?.placement === "right") return names.length * LEGEND_ROW_BESIDE_PX <= heightPx;
  const rowPx = gridPos.w * COLUMN_PX;
  let rows = 1;
  let usedPx = 0;
  for (const name of names) {
    const px = name.length * LEGEND_LETTER_PX + LEGEND_MARK_PX;
    if (usedPx + px > rowPx) {
      rows++;
      usedPx = 0;
    }
    usedPx += px;
  }
  return rows * LEGEND_ROW_PX + LEGEND_EDGE_PX <= heightPx * LEGEND_SHARE_MAX;
}

const instances = (await query(`etcd_server_has_leader{job="${job}"}`)).map(
  ({ metric }) => metric["instance"],
);
if (instances.length === 0) throw new Error(`no member of job ${job} is known to ${url}`);
const files = paths.length > 0 ? paths : readdirSync(FOLDER).map((name) => join(FOLDER, name));
let expressions = 0;
let empty = 0;
let faults = 0;
for (const file of files) {
  const { title, panels } = JSON.parse(readFileSync(file, "utf8")) as { title: string; panels: Panel[] };
  for (const fault of layoutFaults(panels)) {
    faults++;
    console.log(`layout: ${title} / ${fault}`);
  }
  for (const panel of allPanels(panels)) {
    const names = new Map<string, Set<string>>();
    for (const { expr, legendFormat = "" } of panel.targets ?? []) {
      for (const [index, expression] of fillIn(expr, instances).entries()) {
        expressions++;
        const results = await query(expression);
        const about = names.get(instances[index]) ?? new Set();
        for (const result of results) about.add(nameOf(legendFormat, result));
        names.set(instances[index], about);
        if (hasData(results)) continue;
        empty++;
        console.log(`no data: ${title} / ${panel.title}: ${expression}`);
      }
    }
    if (panel.type !== "timeseries" || [...names.values()].every((set) => legendFits(panel, [...set])))
      continue;
    faults++;
    console.log(`layout: ${title} / ${panel.title}: its legend is cut`);
  }
}
console.log(
  `${expressions} expressions about ${instances.join(", ")}: ${empty} without data; ${faults} faults of the layout`,
);
if (empty + faults > 0) process.exitCode = 1;
