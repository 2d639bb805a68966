import { test } from "node:test";
import type { TestContext } from "node:test";
import { deepEqual, equal } from "node:assert/strict";
import { MemoryRing } from "../ring/memory-ring.ts";
import { RecordType } from "../ring/record-types.ts";
import { createLoggerOn, LogThreshold } from "../telemetry/logger.ts";
import { Router } from "./router.ts";
import { VersionMonitor } from "./version-monitor.ts";

const utf8 = new TextEncoder();
const SELF = 1n;

interface Fixture {
  readonly versions: Map<string, string>;
  /** Versions that were proposed. */
  readonly proposed: string[];
  /** Tells the router who leads in which term. */
  readonly lead: (leader: bigint, term: number) => void;
  /** Tells the router the membership. */
  readonly members: (ids: readonly bigint[], clusterVersion: string, downgradeTarget?: string) => void;
  /** Lets everything that waits for no timer happen. */
  readonly settle: () => Promise<void>;
}

/** The router publishes what it has got one turn later. */
async function eventLoopTurns(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

function setUp(t: TestContext): Fixture {
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const toRaft = new MemoryRing(1 << 16);
  const inbox = new MemoryRing(1 << 16);
  const router = new Router({
    toRaft,
    toApply: new MemoryRing(1 << 16),
    inboxes: [inbox],
    memberId: SELF,
    firstRequestId: 100,
    requestTimeoutMs: 7000,
    electionTimeoutMs: 1000,
    requestBytesMax: 1 << 20,
    onFailure: (error) => {
      throw error;
    },
  });
  const versions = new Map<string, string>();
  const monitor = new VersionMonitor({
    router,
    log: createLoggerOn(() => undefined, LogThreshold.at("fatal")),
    downgradeCheckMs: 5000,
    versionOf: ({ id }) => {
      const version = versions.get(String(id));
      return version === undefined ? Promise.reject(new Error("silent")) : Promise.resolve(version);
    },
  });
  monitor.start();
  t.after(() => {
    monitor.stop();
    router.stop();
  });
  const proposed: string[] = [];
  const send = (type: number, payload: Uint8Array): void => {
    inbox.write(type, 0, 0, payload, 0, payload.length);
    inbox.publish();
    router.drainInboxes();
  };
  return {
    versions,
    proposed,
    lead(leader, term) {
      const view = new DataView(new ArrayBuffer(20));
      view.setFloat64(0, term, true);
      view.setBigUint64(8, leader, true);
      view.setUint32(16, leader === SELF ? 1 : 0, true);
      send(RecordType.leader, new Uint8Array(view.buffer));
    },
    members(ids, clusterVersion, downgradeTarget = "") {
      const members = ids.map((id) => ({
        id: String(id),
        name: "",
        peerUrls: [],
        clientUrls: [],
        isLearner: false,
      }));
      send(
        RecordType.membership,
        utf8.encode(JSON.stringify({ index: 1, members, removed: [], clusterVersion, downgradeTarget })),
      );
    },
    async settle() {
      await eventLoopTurns();
      toRaft.drain((type, _flags, id, bytes, start, end) => {
        equal(type, RecordType.propose);
        proposed.push(
          /\d+\.\d+\.\d+/.exec(Buffer.from(bytes.subarray(start, end)).toString("latin1"))?.[0] ?? "",
        );
        inbox.write(RecordType.response, 0, id, new Uint8Array(0), 0, 0);
      }, 10);
      inbox.publish();
      router.drainInboxes();
      await eventLoopTurns();
    },
  };
}

test("a new leader decides once it is named by the first entry", async (t) => {
  const { lead, members, settle, proposed } = setUp(t);
  lead(SELF, 2);
  await settle();
  deepEqual(proposed, []);
  members([SELF], "");
  await settle();
  deepEqual(proposed, ["3.6.0"]);
});

test("a silent member keeps the first version low; it rises when it answers", async (t) => {
  const { lead, members, settle, proposed, versions } = setUp(t);
  versions.set("2", "3.6.0");
  members([SELF, 2n, 3n], "");
  lead(SELF, 2);
  await settle();
  deepEqual(proposed, ["3.0.0"]);
  members([SELF, 2n, 3n], "3.0.0");
  versions.set("3", "3.5.9");
  t.mock.timers.tick(4000);
  await settle();
  deepEqual(proposed, ["3.0.0", "3.5.0"]);
});

test("a follower decides nothing, and asks nobody", async (t) => {
  const { lead, members, settle, proposed, versions } = setUp(t);
  let asked = 0;
  versions.get = () => {
    asked++;
    return "3.6.0";
  };
  members([SELF, 2n], "3.5.0");
  lead(2n, 2);
  t.mock.timers.tick(8000);
  await settle();
  deepEqual([proposed, asked], [[], 0]);
  lead(SELF, 3);
  await settle();
  deepEqual(proposed, ["3.6.0"]);
});

test("while a downgrade is enabled the version goes down to its target, and no further", async (t) => {
  const { lead, members, settle, proposed } = setUp(t);
  members([SELF], "3.6.0", "3.5.0");
  lead(SELF, 2);
  await settle();
  deepEqual(proposed, ["3.5.0"]);
  members([SELF], "3.5.0", "3.5.0");
  lead(SELF, 3);
  await settle();
  deepEqual(proposed, ["3.5.0"], "the older servers are to come now");
});
