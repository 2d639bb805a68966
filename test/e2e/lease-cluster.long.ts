/** A leader that comes back late does no harm to leases; the quick ones are in `lease-cluster.test.ts`. */
import { doesNotMatch, equal } from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../../src/client/client.ts";
import { statusOf, TestCluster } from "../support/cluster.ts";
import { waitFor } from "../support/wait.ts";

const WAIT_MS = 30_000;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test(
  "a leader that was stopped for a while revokes nothing that was renewed elsewhere meanwhile",
  { timeout: 120_000 },
  async (t) => {
    const cluster = await new TestCluster(t, { size: 3 }).start();
    const leader = await cluster.leader();
    const others = cluster.names.filter((name) => name !== leader).map((name) => cluster.member(name));
    const client = await Client.connect({ endpoints: others.map(({ address }) => address) });
    t.after(() => client.close());
    const { ID } = await client.lease.leaseGrant({ TTL: 3n });
    await client.kv.put({ key: bytes("held"), lease: ID });
    const paused = cluster.member(leader).process;
    paused.kill("SIGSTOP");
    await cluster.leader(others);
    // Longer than the old leader's clock says that the lease lives; each renewal counts from the new leader's.
    const endMs = performance.now() + 4000;
    while (performance.now() < endMs) {
      equal((await client.keepAliveOnce(ID)).TTL, 3n);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    paused.kill("SIGCONT");
    await waitFor("the old leader to follow", WAIT_MS, async () => {
      const status = await statusOf(cluster.member(leader)).catch(() => undefined);
      return status !== undefined && status.leader !== "0" && status.leader !== status.id ? true : undefined;
    });
    equal((await client.keepAliveOnce(ID)).TTL, 3n);
    equal((await client.kv.range({ key: bytes("held") })).count, 1n);
    doesNotMatch(cluster.member(leader).log, /failed to revoke lease/);
  },
);
