/** Counts of the checks behind `/livez` and `/readyz`. */
import type { Metrics, Sample } from "./metrics.ts";

interface CheckCount {
  readonly labels: { readonly name: string; readonly type: string };
  last: boolean;
  successes: number;
  errors: number;
}

/** Results by endpoint (`livez`, `readyz`) and check. */
export class HealthCheckCounters {
  readonly #counts = new Map<string, CheckCount>();

  /** Notes the result of one run. */
  record(type: string, name: string, passed: boolean): void {
    const key = `${type}/${name}`;
    let count = this.#counts.get(key);
    if (count === undefined) {
      count = { labels: { name, type }, last: passed, successes: 0, errors: 0 };
      this.#counts.set(key, count);
    }
    count.last = passed;
    if (passed) count.successes++;
    else count.errors++;
  }

  /** Adds etcd's two families. */
  addTo(metrics: Metrics): void {
    metrics.add({
      name: "etcd_server_healthcheck",
      help: "Last result of each health check, 1 or 0.",
      type: "gauge",
      collect: () => [...this.#counts.values()].map(({ labels, last }) => ({ value: last ? 1 : 0, labels })),
    });
    metrics.add({
      name: "etcd_server_healthchecks_total",
      help: "Runs of each health check by result.",
      type: "counter",
      collect: () => [...this.#counts.values()].flatMap(samplesByStatus),
    });
  }
}

/** Only the results that occurred, as in etcd. */
function samplesByStatus({ labels: { name, type }, successes, errors }: CheckCount): Sample[] {
  const samples: Sample[] = [
    { value: successes, labels: { name, status: "success", type } },
    { value: errors, labels: { name, status: "error", type } },
  ];
  return samples.filter((sample) => sample.value > 0);
}
