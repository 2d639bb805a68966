/**
 * Starts, stops and kills members (ours or a real etcd) as processes of their own. A member belongs to the test that
 * started it and is killed when that test ends, whatever happened.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { get } from "node:http";
import { memberUnderTest, type Program } from "./binaries.ts";
import { freePorts } from "./ports.ts";
import type { Cleanup } from "./temp-dir.ts";
import { waitFor } from "./wait.ts";

// A loaded machine may need seconds to start a member; one that takes longer than this hangs.
const READY_MS = 30_000;
// Graceful stop flushes what is open; etcd itself bounds nothing here.
const STOP_MS = 15_000;
// A member that has not ended by itself after this long serves, or hangs.
const END_MS = 20_000;
const LOOPBACK = "127.0.0.1";
// What is kept of a member's log for the message of a failed test.
const LOG_BYTES_MAX = 4 * 1024 * 1024;

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What to start. */
export interface MemberOptions {
  /** Kept by the caller, so that a test can look into it and start again from it. */
  readonly dataDir: string;
  /** The member under test unless given. */
  readonly program?: Program;
  /** More flags. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Ports of an earlier run, when a client should find the member at the same place. */
  readonly ports?: { readonly client: number; readonly peer: number };
  /** Runs the program through another one (`setpriv …`, `prlimit …`): put before it. */
  readonly wrapper?: readonly string[];
  /** Address of both listeners; 127.0.0.1 unless given. */
  readonly host?: string;
  /** `m1` unless given. */
  readonly name?: string;
  /** The flags `--initial-cluster` and `--initial-cluster-state`; a new cluster of this member alone unless given. */
  readonly cluster?: { readonly members: string; readonly state: "new" | "existing" };
}

/** A member process; it may have ended already. */
export class Member {
  readonly options: MemberOptions;
  readonly ports: { readonly client: number; readonly peer: number };
  readonly process: ChildProcess;
  /** Resolves when the process is gone and its output has been read to the end. */
  readonly exited: Promise<Exit>;
  /** Set once {@link exited} resolves. */
  exit: Exit | undefined;
  #log = "";

  constructor(options: MemberOptions, ports: { client: number; peer: number }) {
    this.options = options;
    this.ports = ports;
    const command = commandLine(options, ports);
    this.process = spawn(command[0], command.slice(1), {
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const keep = (chunk: string): void => {
      this.#log = (this.#log + chunk).slice(-LOG_BYTES_MAX);
    };
    this.process.stdout?.setEncoding("utf8").on("data", keep);
    this.process.stderr?.setEncoding("utf8").on("data", keep);
    this.exited = new Promise((resolve, reject) => {
      this.process.once("error", reject);
      this.process.once("close", (code, signal) => {
        this.exit = { code, signal };
        resolve(this.exit);
      });
    });
    this.exited.catch(() => undefined);
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error(`${this.process.spawnfile} was not started`);
    return this.process.pid;
  }

  /** `host:port` of the client listener, as gRPC wants it. */
  get address(): string {
    return `${this.options.host ?? LOOPBACK}:${this.ports.client}`;
  }

  get clientUrl(): string {
    return `http://${this.address}`;
  }

  get peerUrl(): string {
    return `http://${this.options.host ?? LOOPBACK}:${this.ports.peer}`;
  }

  /** Standard output and standard error so far (the newest part, if it is long). */
  get log(): string {
    return this.#log;
  }

  /** Waits until /health says that the member serves. Fails at once, with the log, if the process ends first. */
  async ready(): Promise<this> {
    await waitFor(`${this.clientUrl}/health`, READY_MS, async () => {
      if (this.exit !== undefined) {
        throw new Error(`member ended with ${JSON.stringify(this.exit)} before it was ready\n${this.#log}`);
      }
      return (await isHealthy(this.clientUrl)) ? true : undefined;
    });
    return this;
  }

  /** Waits for an end that comes by itself; a member that goes on is killed, which its exit then tells. */
  async ended(): Promise<Exit> {
    const late = setTimeout(() => this.process.kill("SIGKILL"), END_MS);
    const exit = await this.exited;
    clearTimeout(late);
    return exit;
  }

  /** Asks for a graceful stop and waits for the end. */
  async stop(): Promise<Exit> {
    this.process.kill("SIGTERM");
    const late = setTimeout(() => this.process.kill("SIGKILL"), STOP_MS);
    const exit = await this.exited;
    clearTimeout(late);
    return exit;
  }

  /** Kills the process as a power cut would (kill -9) and waits for the end. */
  async kill(): Promise<Exit> {
    this.process.kill("SIGKILL");
    return this.exited;
  }
}

/** Starts a member without waiting for it; killed when the test ends. */
export async function launchMember(t: Cleanup, options: MemberOptions): Promise<Member> {
  const [client, peer] = options.ports ? [options.ports.client, options.ports.peer] : await freePorts(2);
  const member = new Member(options, { client: client, peer: peer });
  members.add(member);
  t.after(async () => {
    await member.kill().catch(() => undefined);
    members.delete(member);
  });
  return member;
}

/** Starts a member and waits until it serves; killed when the test ends. */
export async function startMember(t: Cleanup, options: MemberOptions): Promise<Member> {
  return (await launchMember(t, options)).ready();
}

/** Starts a member again on the same data and ports as one that has ended. */
export async function restartMember(t: Cleanup, old: Member): Promise<Member> {
  await old.exited;
  return startMember(t, { ...old.options, ports: old.ports });
}

function commandLine(options: MemberOptions, ports: { client: number; peer: number }): string[] {
  const program = options.program ?? memberUnderTest();
  const { host = LOOPBACK, name = "m1" } = options;
  const clientUrl = `http://${host}:${ports.client}`;
  const peerUrl = `http://${host}:${ports.peer}`;
  const cluster = options.cluster ?? { members: `${name}=${peerUrl}`, state: "new" };
  return [
    ...(options.wrapper ?? []),
    program.file,
    ...program.args,
    "--name",
    name,
    "--data-dir",
    options.dataDir,
    "--listen-client-urls",
    clientUrl,
    "--advertise-client-urls",
    clientUrl,
    "--listen-peer-urls",
    peerUrl,
    "--initial-advertise-peer-urls",
    peerUrl,
    "--initial-cluster",
    cluster.members,
    "--initial-cluster-state",
    cluster.state,
    ...(options.args ?? []),
  ];
}

function isHealthy(clientUrl: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(`${clientUrl}/health`, { timeout: 1000, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () => resolve(response.statusCode === 200 && /"health":\s*"true"/.test(body)));
      response.on("error", () => resolve(false));
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(false));
  });
}

// A test process that dies (a failed assertion outside a test, a signal of the test runner) must not leave members.
const members = new Set<Member>();
process.on("exit", () => {
  for (const member of members) member.process.kill("SIGKILL");
});
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => process.exit(1));
