/** Locks and elections: how a call fails before anything is asked. What they do: test/e2e/leases.test.ts. */
import { deepEqual } from "node:assert/strict";
import { test } from "node:test";

import { ServiceFixture } from "../../test/support/service-fixture.ts";
import { waitFor } from "../../test/support/wait.ts";
import { concurrencyMethods } from "./concurrency-methods.ts";
import { WatchService } from "./watch.ts";

test("a malformed request has grpc-go's code; other failures have none, as etcd's", async (t) => {
  const fixture = new ServiceFixture();
  t.after(() => fixture.stop());
  const { router } = fixture;
  const watch = new WatchService(router, { clusterId: 7n, memberId: 1n, electionTimeoutMs: 1000 });
  const methods = concurrencyMethods({ router, watch });
  const statusOf = (name: string, request: Buffer): Promise<object> => {
    const call = fixture.call(methods, name, request);
    return waitFor(`the end of ${name}`, 10_000, () => call.status ?? undefined);
  };
  for (const name of ["Lock", "Unlock", "Campaign", "Proclaim", "Leader", "Resign", "Observe"]) {
    const malformed = { code: 13, message: "grpc: error unmarshalling request: unexpected EOF" };
    deepEqual(await statusOf(name, Buffer.of(0x0a, 9, 0x61)), malformed, name);
  }
  const empty = Buffer.alloc(0);
  deepEqual(await statusOf("Resign", empty), { code: 2, message: '"leader" field must be provided' });
  deepEqual([fixture.raftRecords(), fixture.applyRecords()], [[], []]);
});
