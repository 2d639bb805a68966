/**
 * The metrics of the process, as `/metrics` shows them.
 *
 * Owns the list of metric families; holds no numbers. Whoever counts keeps plain numbers of his own, and a family reads them when
 * somebody scrapes: a request never calls into this folder. prom-client puts the text together; it is loaded at the first
 * scrape, and only its registry, because the whole of it costs 45 ms and 21 MB.
 *
 * Read next: `thread-metrics.ts` (what the other threads count), `server-metrics.ts` and `grpc-metrics.ts`, and what puts all of it
 * together, `workers/member-metrics.ts`.
 */
import { createRequire } from "node:module";
import type { Registry } from "prom-client";
import type { HistogramCopy } from "../base/meters.ts";

/** One line of a family. */
export interface Sample {
  readonly value: number;
  /** In the order of their names, which is the order in etcd's text: what greps for a line finds it. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Name of the line where it is not the family's: `x_bucket`, `x_sum`, `x_count` of a histogram. */
  readonly metricName?: string;
}

/** A metric with all its label values. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** Reads the numbers as they are now. */
  collect(): readonly Sample[];
}

/** A histogram of one combination of label values. */
export interface HistogramSeries {
  readonly values: HistogramCopy;
  readonly labels?: Readonly<Record<string, string>>;
}

/** What a scrape answers. */
export interface Scrape {
  readonly contentType: string;
  readonly body: string;
}

type RegistryClass = new () => Registry;

/** The list of families, and the scrape. */
export class Metrics {
  readonly #families: MetricFamily[] = [];
  readonly #refreshers: (() => Promise<void>)[] = [];
  #registry: Registry | undefined;
  /** For promhttp_metric_handler_*: scrapes being served, and how they ended. */
  inFlight = 0;
  succeeded = 0;
  failed = 0;

  /** Adds a family; its name must be new. */
  add(family: MetricFamily): void {
    this.#families.push(family);
    this.#registry = undefined;
  }

  /** Adds a counter without labels. */
  addCounter(name: string, help: string, read: () => number): void {
    this.add({ name, help, type: "counter", collect: () => [{ value: read() }] });
  }

  /** Adds a gauge without labels. */
  addGauge(name: string, help: string, read: () => number): void {
    this.add({ name, help, type: "gauge", collect: () => [{ value: read() }] });
  }

  /** Adds a histogram: one without labels, or one a combination of label values. */
  addHistogram(name: string, help: string, read: () => readonly HistogramSeries[]): void {
    this.add({
      name,
      help,
      type: "histogram",
      collect: () => read().flatMap((one) => bucketSamples(name, one)),
    });
  }

  /** `refresh` runs before each scrape, all of them at once: to fetch the numbers of other threads. */
  beforeScrape(refresh: () => Promise<void>): void {
    this.#refreshers.push(refresh);
  }

  /**
   * The text of all families. As etcd's it is never OpenMetrics, which would give counters other names whose own does not end in
   * `_total`.
   */
  async scrape(): Promise<Scrape> {
    this.inFlight++;
    try {
      const scrape = await this.#scrape();
      this.succeeded++;
      return scrape;
    } catch (error) {
      this.failed++;
      throw error;
    } finally {
      this.inFlight--;
    }
  }

  async #scrape(): Promise<Scrape> {
    await Promise.all(this.#refreshers.map((refresh) => refresh()));
    const registry = (this.#registry ??= this.#createRegistry());
    return { contentType: registry.contentType, body: await registry.metrics() };
  }

  #createRegistry(): Registry {
    const RegistryOfType = createRequire(import.meta.url)("prom-client/lib/registry.js") as RegistryClass;
    const registry = new RegistryOfType();
    for (const family of this.#families) {
      // The registry asks a metric for no more than this; its types speak of the Counter and Gauge classes only.
      registry.registerMetric(new RegisteredFamily(family) as never);
    }
    return registry;
  }
}

/** The lines of a histogram: Prometheus counts what is below each bound. */
function bucketSamples(name: string, { values, labels = {} }: HistogramSeries): Sample[] {
  const { bounds, counts, sum } = values;
  const samples: Sample[] = [];
  let count = 0;
  for (let i = 0; i <= bounds.length; i++) {
    count += counts[i];
    const le = i === bounds.length ? "+Inf" : formatBound(bounds[i]);
    samples.push({ metricName: `${name}_bucket`, value: count, labels: { ...labels, le } });
  }
  samples.push({ metricName: `${name}_sum`, value: sum, labels });
  samples.push({ metricName: `${name}_count`, value: count, labels });
  return samples;
}

/** Label values are texts, and dashboards may name them: this is how Go writes numbers. */
function formatBound(bound: number): string {
  const [digits, exponent] = bound.toExponential().split("e");
  const power = Number(exponent);
  if (power >= -4 && power < 6) return String(bound);
  return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** A family as prom-client's registry wants it. */
class RegisteredFamily {
  readonly name: string;
  readonly #family: MetricFamily;

  constructor(family: MetricFamily) {
    this.name = family.name;
    this.#family = family;
  }

  get type(): string {
    return this.#family.type;
  }

  get(): object {
    const { help, type } = this.#family;
    return { name: this.name, help, type, values: this.#family.collect() };
  }
}
