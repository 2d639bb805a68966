/**
 * Asks a Prometheus for every expression of the dashboards in deploy/grafana/dashboards, and names the panels without data.
 *
 * Usage: node scripts/check-dashboards.ts http://127.0.0.1:9090 [job] [dashboard.json …]
 *
 * Template variables are filled in as Grafana would: `$job` with the job (etcd unless named), `$instance` with each of its instances.
 * Exits with 1 when a panel has no data: no series, or numbers of which none is one.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

interface Panel {
  readonly title: string;
  readonly targets?: ReadonlyArray<{ readonly expr: string }>;
  readonly panels?: readonly Panel[];
}

interface Result {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

const FOLDER = join(import.meta.dirname, "../deploy/grafana/dashboards");
const RATE_INTERVAL = "1m";

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

const instances = (await query(`etcd_server_has_leader{job="${job}"}`)).map(
  ({ metric }) => metric["instance"],
);
if (instances.length === 0) throw new Error(`no member of job ${job} is known to ${url}`);
const files = paths.length > 0 ? paths : readdirSync(FOLDER).map((name) => join(FOLDER, name));
let expressions = 0;
let empty = 0;
for (const file of files) {
  const { title, panels } = JSON.parse(readFileSync(file, "utf8")) as { title: string; panels: Panel[] };
  for (const panel of allPanels(panels)) {
    for (const expression of (panel.targets ?? []).flatMap(({ expr }) => fillIn(expr, instances))) {
      expressions++;
      if (hasData(await query(expression))) continue;
      empty++;
      console.log(`no data: ${title} / ${panel.title}: ${expression}`);
    }
  }
}
console.log(`${expressions} expressions about ${instances.join(", ")}: ${empty} without data`);
if (empty > 0) process.exitCode = 1;
