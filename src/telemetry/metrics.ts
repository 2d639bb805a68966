/**
 * The metrics of the process, as `/metrics` shows them.
 *
 * Owns the list of metric families; holds no numbers. Whoever counts keeps plain numbers of his own, and a family reads them when
 * somebody scrapes: a request never calls into this folder. prom-client puts the text together; it is loaded at the first
 * scrape, and only its registry, because the whole of it costs 45 ms and 21 MB.
 *
 * Read next: `server-metrics.ts` and `grpc-metrics.ts` (etcd's names), `process-metrics.ts`.
 */
import { createRequire } from "node:module";
import type { Registry } from "prom-client";

/** One line of a family. */
export interface Sample {
  readonly value: number;
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

/** What a scrape answers. */
export interface Scrape {
  readonly contentType: string;
  readonly body: string;
}

type RegistryClass = new (contentType: string) => Registry;

const TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/** The list of families, and the scrape. */
export class Metrics {
  readonly #families: MetricFamily[] = [];
  readonly #refreshers: (() => Promise<void>)[] = [];
  #text: Registry | undefined;
  #openMetrics: Registry | undefined;

  /** Adds a family; its name must be new. */
  add(family: MetricFamily): void {
    this.#families.push(family);
    this.#text = undefined;
    this.#openMetrics = undefined;
  }

  /** Adds a counter without labels. */
  addCounter(name: string, help: string, read: () => number): void {
    this.add({ name, help, type: "counter", collect: () => [{ value: read() }] });
  }

  /** Adds a gauge without labels. */
  addGauge(name: string, help: string, read: () => number): void {
    this.add({ name, help, type: "gauge", collect: () => [{ value: read() }] });
  }

  /** `refresh` runs before each scrape, all of them at once: to fetch the numbers of other threads. */
  beforeScrape(refresh: () => Promise<void>): void {
    this.#refreshers.push(refresh);
  }

  /** The text of all families; OpenMetrics if the client's Accept header asks for it. */
  async scrape(accept: string): Promise<Scrape> {
    await Promise.all(this.#refreshers.map((refresh) => refresh()));
    const registry = accept.includes("application/openmetrics-text")
      ? (this.#openMetrics ??= this.#createRegistry(OPEN_METRICS_TYPE))
      : (this.#text ??= this.#createRegistry(TEXT_TYPE));
    return { contentType: registry.contentType, body: await registry.metrics() };
  }

  #createRegistry(contentType: string): Registry {
    const RegistryOfType = createRequire(import.meta.url)("prom-client/lib/registry.js") as RegistryClass;
    const registry = new RegistryOfType(contentType);
    for (const family of this.#families) {
      // The registry asks a metric for no more than this; its types speak of the Counter and Gauge classes only.
      registry.registerMetric(new RegisteredFamily(family) as never);
    }
    return registry;
  }
}

/** A family as prom-client's registry wants it. The registry changes the name for OpenMetrics. */
class RegisteredFamily {
  name: string;
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
