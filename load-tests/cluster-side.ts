/** One of the two clusters of a comparison. */
import { Maintenance } from "../src/proto/gen/rpc_pb.ts";
import type { Program } from "../test/support/binaries.ts";
import { TestCluster } from "../test/support/cluster.ts";
import { EtcdClient } from "../test/support/etcd-client.ts";
import type { Member } from "../test/support/member.ts";
import { cpuSeconds, rssBytes } from "../test/support/proc-stats.ts";
import type { Cleanup } from "../test/support/temp-dir.ts";
import { MEMBER_FLAGS, revisionOf, type LoadTarget } from "./side.ts";

/** A cluster of one program; loads go through its leader or through a follower. */
export class ClusterSide {
  readonly name: string;
  readonly #cluster: TestCluster;
  readonly #targets = new Map<string, ThroughMember>();

  constructor(options: { name: string; program: Program; size: number; cleanup: Cleanup }) {
    this.name = options.name;
    this.#cluster = new TestCluster(options.cleanup, {
      size: options.size,
      program: () => options.program,
      args: MEMBER_FLAGS,
      onDisk: true,
    });
  }

  async start(): Promise<void> {
    await this.#cluster.start();
  }

  async stop(): Promise<void> {
    for (const { client } of this.#targets.values()) client.close();
    await Promise.all(this.#cluster.running.map((member) => member.stop()));
  }

  async version(): Promise<string> {
    const { client } = await this.through("leader");
    return (await client.call(Maintenance.method.status, {})).version;
  }

  /** The cluster, spoken to through the member that leads now or through another one. */
  async through(role: "leader" | "follower"): Promise<LoadTarget> {
    const name = role === "leader" ? await this.#cluster.leader() : await this.#cluster.follower();
    let target = this.#targets.get(name);
    if (target === undefined) {
      target = new ThroughMember(this.name, this.#cluster, this.#cluster.member(name));
      this.#targets.set(name, target);
    }
    return target;
  }
}

class ThroughMember implements LoadTarget {
  readonly name: string;
  readonly address: string;
  readonly client: EtcdClient;
  readonly filled = new Set<string>();
  readonly #cluster: TestCluster;

  constructor(name: string, cluster: TestCluster, member: Member) {
    this.name = name;
    this.#cluster = cluster;
    this.address = member.address;
    this.client = new EtcdClient(member.address);
  }

  revision(): Promise<number> {
    return revisionOf(this.client);
  }

  cpuSeconds(): number {
    return this.#sum(cpuSeconds);
  }

  rssBytes(): number {
    return this.#sum(rssBytes);
  }

  #sum(figure: (pid: number) => number): number {
    return this.#cluster.running.reduce((total, { pid }) => total + figure(pid), 0);
  }
}
