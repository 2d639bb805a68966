/** What tests of one cluster of our members and real etcd members share. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { KV, Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import { memberUnderTest, referenceMember, type Program } from "./binaries.ts";
import type { TestCluster } from "./cluster.ts";
import { EtcdClient, withClient } from "./etcd-client.ts";

const reference = referenceMember();

/** Minor version of the reference, 0 if there is none or it is no etcd 3. */
function referenceMinor(): number {
  if (reference === undefined) return 0;
  const output = execFileSync(reference.file, ["--version"], { encoding: "utf8" });
  return Number(/etcd Version: 3\.(\d+)/.exec(output)?.[1] ?? 0);
}

const minor = referenceMinor();

/** Why these tests cannot run; undefined if they can. */
export const noReference = minor === 5 || minor === 6 ? undefined : "needs etcd 3.5 or 3.6 (ETCD_REFERENCE)";
/** etcd lets nobody join a cluster of a higher version than its own; a cluster of ours is 3.6. */
export const cannotJoin = minor === 5 ? "etcd 3.5 does not join a cluster of version 3.6" : undefined;

export const ours = memberUnderTest();
/** Only where {@link noReference} is undefined. */
export const theirs = reference as Program;

/** Moves leadership to a member, and sees it write. */
export async function lead(cluster: TestCluster, name: string): Promise<void> {
  const leader = await cluster.leader();
  if (leader === name) return;
  const targetID = await cluster.idOf(name);
  const client = new EtcdClient(cluster.member(leader).address);
  await client.call(Maintenance.method.moveLeader, { targetID });
  client.close();
  assert.equal(await cluster.leader(), name);
  await withClient(cluster.member(name), (own) =>
    own.call(KV.method.put, { key: Buffer.from("leads"), value: Buffer.from(name) }),
  );
}
