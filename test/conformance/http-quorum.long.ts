/** Health of a member whose cluster has lost its quorum, and of a learner, beside a real etcd's. Reads that need a quorum wait for their time-out. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { referenceMember, skipWithout } from "../support/binaries.ts";
import { TestCluster } from "../support/cluster.ts";
import { waitFor } from "../support/wait.ts";
import { compareHttp, HEALTH_REQUESTS } from "./http-comparison.ts";

/** As every release tells it; the reason that /health gives is of 3.5 and later. */
const NO_LEADER = "\netcd_server_has_leader 0\n";

const reference = referenceMember();
const skip = skipWithout("etcd", reference) ?? false;

test("health without a quorum, and of a learner, is etcd's", { skip, timeout: 600_000 }, async (t) => {
  assert.ok(reference, "no etcd on PATH, and CI is set: install etcd, this test must not be left out");
  const ours = await new TestCluster(t, { size: 3 }).start();
  const theirs = await new TestCluster(t, { size: 3, program: () => reference }).start();
  const { etcdserver: version } = (await (
    await fetch(`${theirs.member("m1").clientUrl}/version`)
  ).json()) as {
    etcdserver: string;
  };
  const compare = async (names: [string, string], when: string): Promise<void> => {
    const urls = { ours: ours.member(names[0]).clientUrl, theirs: theirs.member(names[1]).clientUrl };
    await compareHttp(t, urls, HEALTH_REQUESTS, { version, when });
  };
  const learners = [
    await ours.grow({ learner: true, wait: false }),
    await theirs.grow({ learner: true, wait: false }),
  ];
  for (const [i, cluster] of [ours, theirs].entries()) {
    const { clientUrl } = cluster.member(learners[i]);
    await waitFor("the learner", 30_000, async () => {
      const answer = await fetch(`${clientUrl}/health?serializable=true`).catch(() => null);
      return answer?.status === 200 || undefined;
    });
  }
  await compare([learners[0], learners[1]], "learner");
  const left: [string, string] = [await ours.leader(), await theirs.leader()];
  for (const [i, cluster] of [ours, theirs].entries()) {
    for (const name of cluster.names.filter((each) => each !== left[i])) await cluster.member(name).kill();
    // It steps down when it has heard nobody for an election timeout.
    const { clientUrl } = cluster.member(left[i]);
    await waitFor("the leader to step down", 30_000, async () => {
      return (await (await fetch(`${clientUrl}/metrics`)).text()).includes(NO_LEADER) || undefined;
    });
  }
  await compare(left, "no quorum");
});
