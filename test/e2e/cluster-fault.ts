/** What a test of faults does: a cluster, a load, a fault, and the checks of everything afterwards. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { ClusterLoad, assertLinearizable, type LoadReport } from "../support/cluster-load.ts";
import { TestCluster, type ClusterOptions } from "../support/cluster.ts";
import { dataHashes } from "../support/member-faults.ts";
import { Namespaces } from "../support/namespaces.ts";
import { SEED } from "../support/seed.ts";

const CLIENTS = 8;
/** Acknowledged writes before the fault and after it. */
const WRITES_AROUND = 100;
let networks = 0;

/** A cluster under load; `fault` does what it likes to it. Checks the history and the members afterwards. */
export async function underLoad(
  t: TestContext,
  options: ClusterOptions,
  fault: (cluster: TestCluster, load: ClusterLoad) => Promise<void>,
): Promise<LoadReport> {
  t.diagnostic(`SEED=${SEED}`);
  const cluster = await new TestCluster(t, options).start();
  await cluster.leader();
  const load = new ClusterLoad({
    seed: SEED,
    clients: CLIENTS,
    addresses: () => cluster.running.map(({ address }) => address),
  });
  try {
    await load.moreWrites(WRITES_AROUND);
    await fault(cluster, load);
    await load.moreWrites(WRITES_AROUND);
  } catch (error) {
    load.abandon();
    throw error;
  }
  const report = await load.stop();
  t.diagnostic(
    `${report.history.length} operations, ${report.acknowledgedWrites} writes; failures: ${JSON.stringify([...report.failures])}`,
  );
  assertLinearizable(report.history);
  const hashes = await dataHashes(cluster);
  assert.equal(hashes.size, 1, `members differ: ${[...hashes].join(", ")}`);
  return report;
}

/** A network a test. */
export function isolated(t: TestContext): { namespaces: Namespaces } {
  return { namespaces: new Namespaces(t, networks++) };
}
