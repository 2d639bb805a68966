/** A real etcd from PATH, and runs of our etcdctl and of the real one against it. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "../../src/client/client.ts";

const OURS = join(import.meta.dirname, "../../src/cli/etcdctl/etcdctl.ts");

/** A reason to skip tests that need etcd and etcdctl on PATH. In CI they must be there. */
export function missingEtcd(): string | false {
  if (process.env.CI) return false;
  const missing = ["etcd", "etcdctl"].filter((name) => spawnSync(name, ["--help"]).error !== undefined);
  return missing.length > 0 && `not on PATH: ${missing.join(", ")}`;
}

/** What a program did. */
export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running etcd with an empty store. */
export class RealEtcd {
  readonly endpoint: string;
  readonly #process: ChildProcess;
  readonly #folder: string;

  private constructor(endpoint: string, process: ChildProcess, folder: string) {
    this.endpoint = endpoint;
    this.#process = process;
    this.#folder = folder;
  }

  /** Starts it on free ports; resolves once it answers. */
  static async start(): Promise<RealEtcd> {
    const folder = mkdtempSync(join(tmpdir(), "etcdctl-e2e-"));
    const [client, peer] = (await freePorts(2)).map((port) => `http://127.0.0.1:${port}`) as [string, string];
    const args = [
      "--data-dir",
      join(folder, "data"),
      "--unsafe-no-fsync",
      "--initial-cluster",
      `default=${peer}`,
    ];
    args.push("--listen-client-urls", client, "--advertise-client-urls", client);
    args.push("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer);
    const etcd = new RealEtcd(
      client.slice("http://".length),
      spawn("etcd", args, { stdio: "ignore" }),
      folder,
    );
    // The client itself waits until there is somebody to connect to.
    const probe = await Client.connect({ endpoints: [etcd.endpoint], callTimeoutMs: 15_000 });
    try {
      await probe.kv.range({ key: Buffer.from("ready") });
    } finally {
      probe.close();
    }
    return etcd;
  }

  /** Runs our etcdctl. */
  ours(args: readonly string[], options: RunOptions = {}): Promise<Run> {
    // The cache of compiled code goes with the test's folder.
    const env = { XDG_CACHE_HOME: this.#folder, ...options.env };
    return run(process.execPath, [OURS, ...this.#address(options), ...args], { ...options, env });
  }

  /** Runs the real etcdctl. */
  real(args: readonly string[], options: RunOptions = {}): Promise<Run> {
    return run("etcdctl", [...this.#address(options), ...args], options);
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGKILL");
    await exited;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #address(options: RunOptions): string[] {
    return options.withoutEndpoint ? [] : ["--endpoints", this.endpoint];
  }
}

export interface RunOptions {
  readonly input?: string | Uint8Array | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly withoutEndpoint?: boolean | undefined;
}

function run(program: string, args: readonly string[], { input, env }: RunOptions): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: { ...process.env, ...env } });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (part: Buffer) => out.push(part));
    child.stderr.on("data", (part: Buffer) => err.push(part));
    child.once("error", reject);
    child.once("close", (code) => {
      // One character a byte: nothing is lost, whatever the bytes are.
      resolve({
        code,
        stdout: Buffer.concat(out).toString("latin1"),
        stderr: Buffer.concat(err).toString("latin1"),
      });
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
  });
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
