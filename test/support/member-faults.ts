/** What is done to one member of a cluster under load, by tests and by the fault scenario of `npm run load`. */
import { Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import type { TestCluster } from "./cluster.ts";
import { EtcdClient } from "./etcd-client.ts";

/** Does harm to a member. Resolves, when it is done, with what mends it; that resolves when the member serves again. */
export type MemberFault = (cluster: TestCluster, name: string) => Promise<() => Promise<void>>;

/** `kill -9`, then a start on what is there. */
export const killMember: MemberFault = async (cluster, name) => {
  await cluster.member(name).kill();
  return async () => void (await cluster.restart(name));
};

/** An orderly stop, then a start. */
export const stopMember: MemberFault = async (cluster, name) => {
  await cluster.member(name).stop();
  return async () => void (await cluster.restart(name));
};

/** The process stands still, as on a machine that swaps or that a hypervisor has suspended; its connections stay. */
export const pauseMember: MemberFault = async (cluster, name) => {
  const member = cluster.member(name);
  member.process.kill("SIGSTOP");
  return async () => {
    member.process.kill("SIGCONT");
    await member.ready();
  };
};

/** Waits until all members that run are equally far. Resolves with the hashes of their data, which must be one. */
export async function dataHashes(cluster: TestCluster): Promise<ReadonlySet<number>> {
  const states = await cluster.converged();
  const revision = BigInt(states[0]?.revision ?? 0);
  const hashes = await Promise.all(
    cluster.running.map(async (member) => {
      const client = new EtcdClient(member.address);
      const { hash } = await client.call(Maintenance.method.hashKV, { revision });
      client.close();
      return hash;
    }),
  );
  return new Set(hashes);
}
