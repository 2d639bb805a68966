/** One of the two members of a comparison: its process, its data, and what a load needs to know of it. */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Cluster, KV, Maintenance } from "../src/proto/gen/rpc_pb.ts";
import type { Program } from "../test/support/binaries.ts";
import { EtcdClient } from "../test/support/etcd-client.ts";
import { launchMember, type Member } from "../test/support/member.ts";
import { cpuSeconds, rssBytes } from "../test/support/proc-stats.ts";
import type { Cleanup } from "../test/support/temp-dir.ts";
import { waitFor } from "../test/support/wait.ts";

// Room for a million keys and all that the write loads add; the default (2 GiB) would end some runs with NOSPACE.
export const MEMBER_FLAGS = ["--quota-backend-bytes", `${8 * 1024 ** 3}`, "--log-level", "warn"];
const START_MS = 120_000;

/** What a load needs to know of whom it is sent to: a member, or a cluster through one of its members. */
export interface LoadTarget {
  readonly name: string;
  /** `host:port` */
  readonly address: string;
  /** For probes; the loads have connections of their own. */
  readonly client: EtcdClient;
  /** Which data sets have been loaded; see `fill` in data-sets.ts. */
  readonly filled: Set<string>;
  revision(): Promise<number>;
  /** CPU seconds so far, of all processes that serve. */
  cpuSeconds(): number;
  rssBytes(): number;
}

/** A member under load. `start` makes a fresh one; `restart` keeps its data. */
export class Side implements LoadTarget {
  readonly name: string;
  readonly filled = new Set<string>();
  readonly #program: Program;
  readonly #folder: string;
  readonly #cleanup: Cleanup;
  #dataDir = "";
  #moreFlags: readonly string[] = [];
  #member: Member | undefined;
  #client: EtcdClient | undefined;

  constructor(options: { name: string; program: Program; folder: string; cleanup: Cleanup }) {
    this.name = options.name;
    this.#program = options.program;
    this.#folder = options.folder;
    this.#cleanup = options.cleanup;
  }

  get address(): string {
    return this.#running.address;
  }

  get pid(): number {
    return this.#running.pid;
  }

  get client(): EtcdClient {
    if (this.#client === undefined) throw new Error(`${this.name} is not running`);
    return this.#client;
  }

  /**
   * Starts a member without data, with more flags than the usual ones if given. Returns the milliseconds from the start of the
   * process to its first answer.
   */
  async start(moreFlags: readonly string[] = []): Promise<number> {
    await this.stop();
    this.#moreFlags = moreFlags;
    if (this.#dataDir !== "") rmSync(this.#dataDir, { recursive: true, force: true });
    this.#dataDir = mkdtempSync(join(this.#folder, `${this.name}-`));
    this.filled.clear();
    const dataDir = this.#dataDir;
    this.#cleanup.after(() => rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 }));
    return this.#launch();
  }

  /** Stops the member and starts it on its data. Returns milliseconds as {@link start} does. */
  async restart(): Promise<number> {
    await this.stop();
    return this.#launch();
  }

  async stop(): Promise<void> {
    this.#client?.close();
    await this.#member?.stop();
    this.#client = this.#member = undefined;
  }

  async revision(): Promise<number> {
    return revisionOf(this.client);
  }

  /** Version as the member tells it. */
  async version(): Promise<string> {
    return (await this.client.call(Maintenance.method.status, {})).version;
  }

  cpuSeconds(): number {
    return cpuSeconds(this.pid);
  }

  rssBytes(): number {
    return rssBytes(this.pid);
  }

  /** Bytes that the data directory takes on disk. */
  diskBytes(): number {
    return folderBytes(this.#dataDir);
  }

  get #running(): Member {
    if (this.#member === undefined) throw new Error(`${this.name} is not running`);
    return this.#member;
  }

  async #launch(): Promise<number> {
    const startedAt = performance.now();
    const options = {
      program: this.#program,
      dataDir: this.#dataDir,
      args: [...MEMBER_FLAGS, ...this.#moreFlags],
    };
    const member = await launchMember(this.#cleanup, options);
    this.#member = member;
    const client = new EtcdClient(member.address, { deadlineMs: START_MS });
    this.#client = client;
    await waitFor(`the first answer of ${this.name}`, START_MS, async () => {
      if (member.exit !== undefined)
        throw new Error(`${this.name} ended: ${JSON.stringify(member.exit)}\n${member.log}`);
      return isListening(member).then((up) => (up ? true : undefined));
    });
    // A member may accept connections before it answers; a linearizable read needs everything to be in place.
    await client.call(KV.method.range, { key: Buffer.from("probe") });
    const readyMs = performance.now() - startedAt;
    await client.call(Cluster.method.memberList, {});
    return readyMs;
  }
}

/** Current revision of the store behind `client`. */
export async function revisionOf(client: EtcdClient): Promise<number> {
  const { header } = await client.call(KV.method.range, { key: Buffer.from("probe") });
  return Number(header?.revision);
}

async function isListening(member: Member): Promise<boolean> {
  try {
    await fetch(`${member.clientUrl}/version`);
    return true;
  } catch {
    return false;
  }
}

function folderBytes(folder: string): number {
  let total = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    // Blocks and not sizes: preallocated and sparse files count as what they take.
    if (entry.isFile()) total += statSync(join(entry.parentPath, entry.name)).blocks * 512;
  }
  return total;
}
