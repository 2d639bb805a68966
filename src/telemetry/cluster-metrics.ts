/** Metrics of promotions and feature gates, and the runtime's version. */
import type { Metrics } from "./metrics.ts";

/** What is read at a scrape. */
export interface ClusterState {
  readonly features: ReadonlyArray<{
    readonly name: string;
    readonly stage: string;
    readonly isEnabled: boolean;
  }>;
  /** Learners promoted while this member led. */
  promotions(): number;
  /** Promotions that it refused, by reason. */
  promotionsRefused(): ReadonlyMap<string, number>;
}

/** Adds the families. */
export function addClusterMetrics(metrics: Metrics, state: ClusterState): void {
  metrics.addCounter("etcd_server_learner_promote_successes", "Learners promoted.", () => state.promotions());
  metrics.add({
    name: "etcd_server_learner_promote_failures",
    help: "Promotions refused, by reason.",
    type: "counter",
    collect: () => [...state.promotionsRefused()].map(([Reason, value]) => ({ value, labels: { Reason } })),
  });
  metrics.add({
    name: "etcd_server_feature_enabled",
    help: "1 for each feature gate that is on, 0 for the others.",
    type: "gauge",
    collect: () =>
      state.features.map(({ name, stage, isEnabled }) => ({
        value: Number(isEnabled),
        labels: { name, stage },
      })),
  });
  metrics.add({
    name: "nodejs_version_info",
    help: "1, labelled with the version of Node.js.",
    type: "gauge",
    collect: () => [{ value: 1, labels: { version: process.version } }],
  });
}
