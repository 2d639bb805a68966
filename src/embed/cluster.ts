/** Several members in one process that form a cluster: for tests of what uses a cluster, and of what it does when members go. */
import { join } from "node:path";
import type { LogRecord } from "../telemetry/logger.ts";
import { type EmbeddedMember, type EmbeddedMemberOptions, startMember } from "./member.ts";
import { findFreePorts } from "./ports.ts";

/** How a cluster is started: three members in memory unless said otherwise. */
export interface EmbeddedClusterOptions {
  /** Number of members, 1 to 7. Default 3. Their names are `m1`, `m2`, … */
  readonly size?: number;
  /** Folder in which each member has one of its own, named like it; `:memory:` (the default) keeps nothing on disk. */
  readonly dataDir?: string;
  /** Flags of all members, as {@link EmbeddedMemberOptions.flags}. */
  readonly flags?: EmbeddedMemberOptions["flags"];
  /** Takes the lines of all members' logs. Default: they are dropped. */
  readonly log?: (record: LogRecord, member: string) => void;
}

const SIZE_DEFAULT = 3;
/** As many as etcd recommends at most. */
const SIZE_MAX = 7;

/** Starts a cluster and returns at once; wait for {@link EmbeddedCluster.ready}. @throws RangeError for a size that is none */
export function startCluster(options: EmbeddedClusterOptions = {}): EmbeddedCluster {
  return new EmbeddedCluster(options);
}

/** A cluster of this process, from {@link startCluster}. */
export class EmbeddedCluster implements AsyncDisposable {
  /** Resolves with this cluster when all members serve; rejects with what kept one from that, and then all are stopped. */
  readonly ready: Promise<this>;
  #members: readonly EmbeddedMember[] = [];
  #stopping = false;

  /** @internal Use {@link startCluster}. */
  constructor(options: EmbeddedClusterOptions) {
    const { size = SIZE_DEFAULT } = options;
    if (!Number.isInteger(size) || size < 1 || size > SIZE_MAX) {
      throw new RangeError(`a cluster has 1 to ${SIZE_MAX} members, not ${size}`);
    }
    this.ready = this.#start(options, size);
    this.ready.catch(() => undefined);
  }

  /** The members, in the order of their names; empty until their ports are chosen. */
  get members(): readonly EmbeddedMember[] {
    return this.#members;
  }

  /** `host:port` of all members, for a client. @throws an Error before the cluster is ready */
  get endpoints(): readonly string[] {
    return this.#members.map(({ endpoint }) => endpoint);
  }

  /** Stops all members. Resolves when nothing of them is left; never rejects. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#members.map((member) => member.stop()));
    await this.ready.catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #start(options: EmbeddedClusterOptions, size: number): Promise<this> {
    const { dataDir = ":memory:", flags = {}, log } = options;
    const ports = await findFreePorts(2 * size);
    if (this.#stopping) throw new Error("the cluster was stopped");
    const names = Array.from({ length: size }, (_, i) => `m${i + 1}`);
    const url = (port: number): string => `http://127.0.0.1:${port}`;
    const initialCluster = Object.fromEntries(names.map((name, i) => [name, url(ports[size + i])]));
    this.#members = names.map((name, i) =>
      startMember({
        name,
        dataDir: dataDir === ":memory:" ? dataDir : join(dataDir, name),
        clientUrl: url(ports[i]),
        peerUrl: url(ports[size + i]),
        initialCluster,
        flags,
        ...(log === undefined ? {} : { log: (record) => log(record, name) }),
      }),
    );
    try {
      await Promise.all(this.#members.map(({ ready }) => ready));
    } catch (error) {
      await Promise.all(this.#members.map((member) => member.stop()));
      throw error;
    }
    return this;
  }
}
