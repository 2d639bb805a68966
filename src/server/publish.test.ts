import { test } from "node:test";
import { deepEqual, equal } from "node:assert/strict";
import { MemoryRing } from "../ring/memory-ring.ts";
import { RecordType } from "../ring/record-types.ts";
import { createLoggerOn, LogThreshold } from "../telemetry/logger.ts";
import { publishMember } from "./publish.ts";
import { Router } from "./router.ts";

const EMPTY = new Uint8Array(0);

function routerWith(requestTimeoutMs: number): { toRaft: MemoryRing; fromApply: MemoryRing; router: Router } {
  const toRaft = new MemoryRing(1 << 16);
  const fromApply = new MemoryRing(1 << 16);
  const router = new Router({
    toRaft,
    toApply: new MemoryRing(1 << 16),
    inboxes: [fromApply],
    memberId: 1n,
    electionTimeoutMs: 1000,
    firstRequestId: 100,
    requestTimeoutMs,
    requestBytesMax: 1 << 20,
    onFailure: (error) => {
      throw error;
    },
  });
  return { toRaft, fromApply, router };
}

test("a member whose replay takes longer than a request may publishes again until it is applied", async (t) => {
  const { toRaft, fromApply, router } = routerWith(1);
  t.after(() => router.stop());
  // The first proposal is never answered, the second at once.
  let proposals = 0;
  const raft = setInterval(() => {
    toRaft.drain((type, _flags, id) => {
      equal(type, RecordType.propose);
      if (++proposals > 1) fromApply.write(RecordType.response, 0, id, EMPTY, 0, 0);
    }, 10);
    fromApply.publish();
    router.drainInboxes();
  }, 1);
  t.after(() => clearInterval(raft));
  const warnings: string[] = [];
  const log = createLoggerOn(
    ({ level, msg }) => void (level === "warn" && warnings.push(msg)),
    LogThreshold.at("warn"),
  );
  await publishMember(router, { memberId: 1n, name: "m", clientUrls: [], log });
  deepEqual(warnings, ["failed to publish local member to cluster through raft"]);
  equal(proposals, 2);
});

test("a member whose entry comes inside a snapshot has published", async (t) => {
  const { fromApply, router } = routerWith(60_000);
  t.after(() => router.stop());
  const messages: string[] = [];
  const log = createLoggerOn(({ msg }) => void messages.push(msg), LogThreshold.at("info"));
  const published = publishMember(router, { memberId: 1n, name: "m", clientUrls: ["http://c:1"], log });
  const member = { id: "1", name: "m", peerUrls: [], clientUrls: ["http://c:1"], isLearner: false };
  const report = { index: 7, members: [member], removed: [], clusterVersion: "" };
  const bytes = Buffer.from(JSON.stringify(report));
  fromApply.write(RecordType.membership, 0, 0, bytes, 0, bytes.length);
  fromApply.publish();
  router.drainInboxes();
  await published;
  deepEqual(messages, ["published local member to cluster through raft"]);
});
