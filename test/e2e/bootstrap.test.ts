/**
 * How members come into a cluster and what becomes of those that should not: founders, a start without a leader, lost data, a forced
 * new cluster, discovery, a removed member.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Cluster, KV } from "../../src/proto/gen/rpc_pb.ts";
import { testsOurMember } from "../support/binaries.ts";
import { TestCluster } from "../support/cluster.ts";
import { withClient } from "../support/etcd-client.ts";
import { launchMember, startMember, type Member } from "../support/member.ts";
import { freePorts } from "../support/ports.ts";
import { memoryDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const LOG_MS = 20_000;
const options = { timeout: 120_000, skip: testsOurMember() ? false : "etcd's own words and ways" };

describe("bootstrap", { concurrency: 2 }, () => {
  test(
    "a member without a leader waits and stops cleanly; alone it goes on by force only",
    options,
    async (t) => {
      const cluster = await new TestCluster(t, { size: 3 }).start();
      await put(cluster.member("m1"), "before");
      await cluster.converged();
      // A log that ended by force may not know yet what was committed last, and a forced cluster drops that, as etcd does.
      await cluster.member("m1").stop();
      await Promise.all(cluster.running.map((member) => member.kill()));

      const alone = await cluster.restart("m1", { wait: false });
      await logged(alone, /became pre-candidate/);
      assert.deepEqual(await alone.stop(), { code: 0, signal: null }, alone.log.slice(-3000));
      assert.doesNotMatch(alone.log, /ready to serve/);
      assert.match(alone.log, /stopped publish because server is stopping/);

      const forced = await cluster.restart("m1", { args: ["--force-new-cluster"] });
      assert.match(forced.log, /"forcing restart member"/);
      assert.deepEqual(await names(forced), ["m1"]);
      assert.deepEqual(await keys(forced), ["before"]);
      await put(forced, "forced");
      await forced.kill(); // alone, it has committed all that its log holds
      const again = await cluster.restart("m1");
      assert.deepEqual([await names(again), await keys(again)], [["m1"], ["before", "forced"]]);
    },
  );

  test(
    "a founder that lost its data is refused; a removed member starts, until its peers turn it away",
    options,
    async (t) => {
      const cluster = await new TestCluster(t, { size: 3 }).start();
      await cluster.member("m3").kill();
      cluster.wipe("m3");
      const wiped = await cluster.restart("m3", { wait: false });
      assert.deepEqual(await wiped.ended(), { code: 1, signal: null });
      const id = await cluster.idOf("m3");
      assert.match(wiped.log, new RegExp(`"member ${id.toString(16)} has already been bootstrapped"`));

      const removedId = await cluster.idOf("m2");
      // Strict reconfiguration allows the removal of what is gone: m3 first, then m2 leaves a member alone.
      await cluster.callAny((client) => client.call(Cluster.method.memberRemove, { ID: id }));
      const removed = cluster.member("m2");
      await waitFor("m2's removal", LOG_MS, async () =>
        cluster
          .callAny(
            (client) => client.call(Cluster.method.memberRemove, { ID: removedId }),
            [cluster.member("m1")],
          )
          .then(
            () => true,
            () => undefined,
          ),
      );
      assert.deepEqual(await removed.ended(), { code: 0, signal: null });
      await cluster.member("m1").kill();
      // Nobody tells it: m1 could still need its vote to learn that the removal is committed.
      const back = await cluster.restart("m2", { wait: false });
      await logged(back, /added remote peer/);
      await logged(back, /stream of remote peer failed/);
      assert.doesNotMatch(back.log, /server error|ready to serve/);
      await cluster.restart("m1");
      assert.deepEqual(await back.ended(), { code: 0, signal: null }, back.log.slice(-3000));
      const last =
        /"server error","error":"the member has been permanently removed from the cluster".*\n.*"data-dir used by this member must be removed"/;
      assert.match(back.log, last);
      assert.doesNotMatch(back.log, /"level":"fatal"/);
      const forced = await cluster.restart("m2", { wait: false, args: ["--force-new-cluster"] });
      assert.deepEqual(await forced.ended(), { code: 1, signal: null });
      assert.match(forced.log, /"level":"fatal".*the member has been permanently removed from the cluster/);
    },
  );

  test("founders meet by v3 discovery; who comes too late is refused", options, async (t) => {
    const registry = await startMember(t, { dataDir: memoryDir(t) });
    await put(registry, "/_etcd/registry/token/_config/size", "2");
    const folder = memoryDir(t);
    const launch = async (name: string): Promise<Member> => {
      const [client, peer] = await freePorts(2);
      return launchMember(t, {
        dataDir: join(folder, name),
        name,
        ports: { client, peer },
        args: [
          "--initial-cluster=",
          "--discovery-token=token",
          `--discovery-endpoints=${registry.clientUrl}`,
        ],
      });
    };
    const first = await launch("d1");
    await logged(first, /waiting for peers from discovery service/);
    const second = await launch("d2");
    await Promise.all([first.ready(), second.ready()]);
    assert.deepEqual(await names(second), ["d1", "d2"]);
    const late = await launch("d3");
    assert.deepEqual(await late.ended(), { code: 1, signal: null });
    assert.match(late.log, /failed to join discovery cluster \(discovery: cluster is full\)/);
    // A member with a log needs no discovery.
    await Promise.all([first.kill(), second.kill(), registry.stop()]);
    const restarted = await Promise.all(
      [first, second].map((member) => launchMember(t, { ...member.options, ports: member.ports })),
    );
    await Promise.all(restarted.map((member) => member.ready()));
    assert.match(restarted[0].log, /discovery token is ignored since cluster already initialized/);
  });
});

function logged(member: Member, line: RegExp): Promise<true> {
  return waitFor(`${line} in the log`, LOG_MS, () => (line.test(member.log) ? true : undefined));
}

function put(member: Member, key: string, value = "value"): Promise<unknown> {
  return withClient(member, (client) =>
    client.call(KV.method.put, { key: Buffer.from(key), value: Buffer.from(value) }),
  );
}

function keys(member: Member): Promise<string[]> {
  const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), keysOnly: true };
  return withClient(member, async (client) =>
    (await client.call(KV.method.range, everything)).kvs.map(({ key }) => Buffer.from(key).toString()),
  );
}

/** Names of the members, sorted, as one of them lists them linearizably. */
function names(member: Member): Promise<string[]> {
  return withClient(member, async (client) =>
    (await client.call(Cluster.method.memberList, { linearizable: true })).members
      .map(({ name }) => name)
      .sort(),
  );
}
