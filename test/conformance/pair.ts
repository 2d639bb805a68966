/** The member under test beside a real etcd, both empty. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { referenceMember } from "../support/binaries.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { startMember, type Member } from "../support/member.ts";
import { memoryDir, type Cleanup } from "../support/temp-dir.ts";

const LOG_SHOWN_MAX = 6000;

/** A connection to each, and what release the reference is. */
export interface Pair {
  readonly ours: EtcdClient;
  readonly theirs: EtcdClient;
  readonly version: string;
}

/** Starts both; what a member said that ended by itself is shown when the test ends. */
export async function startPair(t: TestContext): Promise<Pair> {
  const reference = referenceMember();
  assert.ok(reference, "no etcd on PATH, and CI is set: install etcd, this test must not be left out");
  const [ours, theirs] = await Promise.all([
    startMember(t, { dataDir: memoryDir(t) }),
    startMember(t, { program: reference, dataDir: memoryDir(t, "reference") }),
  ]);
  t.after(() => reportDeath(t, { ours, theirs }));
  return { ours: connect(t, ours), theirs: connect(t, theirs), version: await versionOf(theirs) };
}

function connect(t: Cleanup, member: Member): EtcdClient {
  const client = new EtcdClient(member.address);
  t.after(() => client.close());
  return client;
}

/** A member that ended by itself has said why in its log. */
function reportDeath(t: TestContext, members: Record<string, Member>): void {
  for (const [name, { exit, log }] of Object.entries(members)) {
    if (exit?.signal === null)
      t.diagnostic(`${name} ended with ${JSON.stringify(exit)}:\n${log.slice(-LOG_SHOWN_MAX)}`);
  }
}

async function versionOf(member: Member): Promise<string> {
  const response = await fetch(`${member.clientUrl}/version`);
  return ((await response.json()) as { etcdserver: string }).etcdserver;
}
