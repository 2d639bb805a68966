/** Who is under load: members that are started for it, or a cluster that is there already. */
import { setTimeout as delay } from "node:timers/promises";
import { Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import { ourMember, type Program } from "../../test/support/binaries.ts";
import { TestCluster } from "../../test/support/cluster.ts";
import { EtcdClient } from "../../test/support/etcd-client.ts";
import { mappedFileBytes, rssBytes } from "../../test/support/proc-stats.ts";
import type { Cleanup } from "../../test/support/temp-dir.ts";
import { LoadConnection } from "../generator-connection.ts";
import { MEMBER_FLAGS, revisionOf } from "../side.ts";
import { collectMemory, type CollectedMemory } from "./collected-memory.ts";
import { LoadError, UsageError, type Flags, type FlagSpec } from "./scenario.ts";

const REACH_MS = 5_000;
/** From the end of a member's connections to the news of its own. */
const DEATH_MS = 1_000;
/** Of a member's log in the message that it has ended. */
const LOG_CHARS = 2_000;

/** Options of every scenario that does not harm its members. */
export const TARGET_FLAGS: Readonly<Record<string, FlagSpec>> = {
  members: { value: "n", help: "starts so many members", fallback: 1 },
  endpoints: {
    value: "list",
    help: "host:port of a running cluster, by commas, in place of members of its own",
  },
};

/** Resident memory of a member, bytes. */
export interface MemoryUse {
  readonly rss: number;
  /** Of these, pages of mapped files; 0 where it is not known. */
  readonly mapped: number;
}

/** One member under load. */
export interface LoadedMember {
  readonly name: string;
  /** `host:port` */
  readonly address: string;
  readonly client: EtcdClient;
  /** Collects all garbage of its threads, then {@link memory}; null when it has no `--enable-pprof`. */
  collect(): Promise<CollectedMemory | null>;
  /** Memory now: from /proc, or from the metrics of a member that somebody else started. */
  memory(): Promise<MemoryUse>;
}

export class Target {
  readonly members: readonly LoadedMember[];
  /** Rejects when a member that was started here ends before {@link close}. */
  readonly #died: Promise<never>;
  readonly #cluster: TestCluster | undefined;
  #closing = false;

  private constructor(members: readonly LoadedMember[], cluster?: TestCluster) {
    this.members = members;
    this.#cluster = cluster;
    this.#died = new Promise((_, reject) => {
      for (const member of cluster?.running ?? []) {
        void member.exited.then(({ code, signal }) => {
          if (this.#closing) return;
          const name = member.options.name ?? "";
          reject(
            new LoadError(`member ${name} has ended (${signal ?? code})\n${member.log.slice(-LOG_CHARS)}`),
          );
        });
      }
    });
    this.#died.catch(() => undefined);
  }

  /** By {@link TARGET_FLAGS}; `own` is for members that are started here. Rejects with UsageError when an endpoint does not answer. */
  static async fromFlags(
    cleanup: Cleanup,
    flags: Flags,
    own: { program?: Program; args?: readonly string[] } = {},
  ): Promise<Target> {
    const endpoints = flags.text("endpoints");
    if (endpoints === undefined)
      return Target.launch(cleanup, { size: flags.integer("members", 1), program: ourMember(), ...own });
    if (flags.isSet("members")) throw new UsageError("--members and --endpoints exclude each other");
    return Target.reach(cleanup, endpoints.split(","));
  }

  /** Starts a cluster of its own on disk. */
  static async launch(
    cleanup: Cleanup,
    options: { size: number; program: Program; args?: readonly string[] },
  ): Promise<Target> {
    const cluster = new TestCluster(cleanup, {
      size: options.size,
      program: () => options.program,
      args: [...MEMBER_FLAGS, ...(options.args ?? [])],
      onDisk: true,
    });
    await cluster.start();
    await cluster.leader();
    const members = cluster.running.map(({ options: { name = "" }, address, pid }) =>
      memberOf(cleanup, { name, address }, async () => ({
        rss: rssBytes(pid),
        mapped: mappedFileBytes(pid),
      })),
    );
    return new Target(members, cluster);
  }

  /** Takes a cluster that runs. */
  static async reach(cleanup: Cleanup, addresses: readonly string[]): Promise<Target> {
    const members = addresses.map((text) => {
      const address = text.trim().replace(/^http:\/\//, "");
      return memberOf(cleanup, { name: address, address }, async () => ({
        rss: await rssFromMetrics(address),
        mapped: 0,
      }));
    });
    for (const { address, client } of members) {
      await client.connect(REACH_MS).catch(() => {
        throw new UsageError(`no member answers at ${address}`);
      });
      await client.call(Maintenance.method.status, {});
    }
    return new Target(members);
  }

  /**
   * The outcome of a load on these members, or a LoadError. A member that has died is blamed for it rather than the connection that broke,
   * of which one hears first.
   */
  async whileAlive<T>(load: Promise<T>): Promise<T> {
    try {
      return await Promise.race([load, this.#died]);
    } catch (error) {
      if (!(error instanceof Error) || error instanceof LoadError) throw error;
      await Promise.race([this.#died, delay(DEATH_MS)]);
      throw new LoadError(error.message, { cause: error });
    }
  }

  /** `count` connections for load, spread over the members. */
  async connect(cleanup: Cleanup, count: number): Promise<LoadConnection[]> {
    const connections = await Promise.all(
      Array.from({ length: count }, (_, i) =>
        LoadConnection.open(this.members[i % this.members.length].address),
      ),
    );
    cleanup.after(() => {
      for (const connection of connections) connection.close();
    });
    return connections;
  }

  async version(): Promise<string> {
    return (await this.members[0].client.call(Maintenance.method.status, {})).version;
  }

  revision(): Promise<number> {
    return revisionOf(this.members[0].client);
  }

  /** Stops what it has started. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#cluster?.running.map((member) => member.stop()) ?? []);
  }
}

function memberOf(
  cleanup: Cleanup,
  { name, address }: { name: string; address: string },
  memory: () => Promise<MemoryUse>,
): LoadedMember {
  const client = new EtcdClient(address);
  cleanup.after(() => client.close());
  const collect = async (): Promise<CollectedMemory | null> => {
    const collected = await collectMemory(address);
    return collected === null ? null : { threads: collected.threads, ...(await memory()) };
  };
  return { name, address, client, memory, collect };
}

async function rssFromMetrics(address: string): Promise<number> {
  const text = await (await fetch(`http://${address}/metrics`)).text();
  const match = /^process_resident_memory_bytes (\S+)$/m.exec(text);
  if (match === null) throw new Error(`${address}/metrics has no process_resident_memory_bytes`);
  return Number(match[1]);
}
