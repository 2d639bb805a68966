/**
 * A member inside a Node process: in memory or on disk, with worker threads and ports of its own, and as many of them beside each
 * other as are wanted. What the program `etcd` is, without the process: nothing here listens to signals or uncaught errors, writes
 * to stdout or stderr, changes a global, or ends the process; what goes wrong is told by promises.
 *
 * Read next: `cluster.ts` (several members that form one cluster), then `workers/supervisor.ts`, which runs a member.
 */
import { type Member, startMember as superviseMember } from "../../workers/supervisor.ts";
import { startThreads } from "../../workers/threads.ts";
import { type Config, loadConfig } from "../config/config.ts";
import type { LogLevel, LogRecord } from "../telemetry/logger.ts";
import { createSinkLog } from "../telemetry/sink-log.ts";
import { findFreePorts } from "./ports.ts";

/** How a member is started. Everything may be left out: a member alone, in memory, on free ports of 127.0.0.1. */
export interface EmbeddedMemberOptions {
  /** Default `default`, as etcd's. */
  readonly name?: string;
  /** Folder of its data, made if it is not there; `:memory:` (the default) keeps nothing on disk. */
  readonly dataDir?: string;
  /** Where it listens for clients: `http://host:port`. Default: a free port of 127.0.0.1. */
  readonly clientUrl?: string;
  /** Where it listens for other members. Default: a free port of 127.0.0.1. */
  readonly peerUrl?: string;
  /** The founding members by name and peer URL, this one among them. Default: this one alone. */
  readonly initialCluster?: Readonly<Record<string, string>>;
  /** Any other flag of etcd by its name, without dashes: `{ "quota-backend-bytes": 1e9, "auto-compaction-retention": "1h" }`. */
  readonly flags?: Readonly<Record<string, string | number | boolean>>;
  /** Takes the lines of the member's log. Default: they are dropped. */
  readonly log?: (record: LogRecord) => void;
  /** Lines below it are not made. Default `info`; without {@link log} nothing is. */
  readonly logLevel?: LogLevel;
}

/**
 * Starts a member and returns at once; wait for {@link EmbeddedMember.ready}.
 *
 * ```ts
 * await using member = startMember();
 * await member.ready;
 * const client = await connect(member.endpoint);
 * ```
 */
export function startMember(options: EmbeddedMemberOptions = {}): EmbeddedMember {
  return new EmbeddedMember(options);
}

/** A member of this process, from {@link startMember}. It keeps the process running until it is stopped. */
export class EmbeddedMember implements AsyncDisposable {
  /** Resolves with this member when it serves; rejects with what kept it from that, and then nothing of it is left. */
  readonly ready: Promise<this>;
  /**
   * Resolves when nothing of the member is left: with null after {@link stop}, else with the error that ended it (a thread that died,
   * a disk that failed, its removal from the cluster, a start that failed). Never rejects.
   */
  readonly exited: Promise<Error | null>;
  readonly #stopping = new AbortController();
  #addresses: Addresses | null = null;

  /** @internal Use {@link startMember}. */
  constructor(options: EmbeddedMemberOptions) {
    const started = this.#start(options);
    this.ready = started.then(() => this);
    this.exited = this.#run(started);
    // Whoever does not ask for one of them has the other; an error must not end the process.
    this.ready.catch(() => undefined);
  }

  /** `host:port` for clients, for example `127.0.0.1:41234`. @throws an Error before the member is ready */
  get endpoint(): string {
    return new URL(this.clientUrl).host;
  }

  /** URL for clients. @throws an Error before the member is ready */
  get clientUrl(): string {
    return this.#known().clientUrl;
  }

  /** URL for other members. @throws an Error before the member is ready */
  get peerUrl(): string {
    return this.#known().peerUrl;
  }

  /**
   * Stops it, also in the middle of its start: clients first, then its threads. Resolves when nothing of it is left; the same
   * promise for everybody who asks. What was acknowledged is on disk, if there is one. Never rejects: {@link exited} tells of errors.
   */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the member was stopped"));
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #known(): Addresses {
    if (this.#addresses === null) throw new Error("the member is not ready: await member.ready");
    return this.#addresses;
  }

  async #start(options: EmbeddedMemberOptions): Promise<Member> {
    const addresses = await chooseAddresses(options);
    const log = createSinkLog(options.log ?? null, options.logLevel ?? "info");
    const config = await configOf(options, addresses);
    const { signal } = this.#stopping;
    signal.throwIfAborted();
    const threads = startThreads(config, log.threshold);
    const member = await superviseMember(config, log, { stop: signal, threads });
    this.#addresses = addresses;
    return member;
  }

  async #run(started: Promise<Member>): Promise<Error | null> {
    let member: Member;
    try {
      member = await started;
    } catch (error) {
      return error === this.#stopping.signal.reason ? null : asError(error);
    }
    const { signal } = this.#stopping;
    const asked = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    try {
      await Promise.race([asked, member.removed, member.failed]);
      await member.stop();
      return signal.aborted ? null : new Error("the cluster has removed the member");
    } catch (error) {
      // It is on its way to its end.
      await member.stop().catch(() => undefined);
      return asError(error);
    }
  }
}

interface Addresses {
  readonly clientUrl: string;
  readonly peerUrl: string;
}

async function chooseAddresses({ clientUrl, peerUrl }: EmbeddedMemberOptions): Promise<Addresses> {
  if (clientUrl !== undefined && peerUrl !== undefined) return { clientUrl, peerUrl };
  const [client, peer] = await findFreePorts(2);
  return {
    clientUrl: clientUrl ?? `http://127.0.0.1:${client}`,
    peerUrl: peerUrl ?? `http://127.0.0.1:${peer}`,
  };
}

/** By way of etcd's flags, so that the same checks and defaults hold. @throws an Error with etcd's words for what does not fit */
async function configOf(options: EmbeddedMemberOptions, { clientUrl, peerUrl }: Addresses): Promise<Config> {
  const { name = "default", dataDir = ":memory:" } = options;
  const flags = {
    name: name,
    "data-dir": dataDir,
    "listen-client-urls": clientUrl,
    "advertise-client-urls": clientUrl,
    "listen-peer-urls": peerUrl,
    "initial-advertise-peer-urls": peerUrl,
    "initial-cluster": Object.entries(options.initialCluster ?? { [name]: peerUrl })
      .map(([member, url]) => `${member}=${url}`)
      .join(","),
    ...options.flags,
  };
  const outcome = await loadConfig({
    argv: Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
    env: {},
    readFile: () => {
      throw new Error("an embedded member has no configuration file");
    },
  });
  if (outcome.kind === "config") return outcome.config;
  const fatal = outcome.log.filter(({ level }) => level === "fatal");
  const complaints = fatal.map(({ msg, fields }) => `${msg} ${JSON.stringify(fields ?? {})}`);
  throw new Error([outcome.stderr.split("\n")[0], ...complaints].filter((line) => line !== "").join("; "));
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
