/**
 * Network namespaces: each member behind a link of its own, so that a test can cut who reaches whom, one way or both. Needs
 * root and `ip` (iproute2).
 *
 * ```
 *   tests (root namespace) ── bridge 10.x.y.1 ──┬── m1 10.x.y.11
 *                                               ├── m2 10.x.y.12     cut(m1, m2): m1 has no route to m2 any more
 *                                               └── m3 …
 * ```
 */
import { execFileSync } from "node:child_process";
import { findOnPath } from "./binaries.ts";
import type { Cleanup } from "./temp-dir.ts";

/** Interface names hold 15 characters. */
const TAG = (process.pid % 46_656).toString(36);
const FIRST_HOST = 11;
/** 10.200.x.0/24 and on: how many second numbers are tried. */
const NETS = 50;

/** Reason why namespaces cannot be made, entered and used here; undefined if they can. */
export function namespacesMissing(): string | undefined {
  if (findOnPath("ip") === undefined) return "ip (iproute2) is not on PATH";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  const probe = `probe${TAG}`;
  try {
    ip("netns", "add", probe);
    // To enter one takes more than to make one: in a chroot, say, it cannot be done.
    ip("link", "add", probe, "type", "veth", "peer", "name", "eth0", "netns", probe);
    ip("netns", "exec", probe, "true");
    return undefined;
  } catch (error) {
    return `network namespaces cannot be used here: ${String(error)}`;
  } finally {
    quietly("link", "del", probe);
    quietly("netns", "del", probe);
  }
}

/** The namespaces of one test; they go when it ends. */
export class Namespaces {
  readonly #bridge: string;
  readonly #net: string;
  readonly #hosts = new Map<string, string>();

  constructor(t: Cleanup, number: number) {
    this.#bridge = `cb${TAG}${number}`;
    this.#net = freeNet(number);
    ip("link", "add", this.#bridge, "type", "bridge");
    ip("addr", "add", `${this.#net}.1/24`, "dev", this.#bridge);
    ip("link", "set", this.#bridge, "up");
    t.after(() => {
      for (const name of this.#hosts.keys()) quietly("netns", "del", this.#namespace(name));
      quietly("link", "del", this.#bridge);
    });
  }

  /** Makes the namespace of a member; returns its address. */
  add(name: string): string {
    const host = `${this.#net}.${FIRST_HOST + this.#hosts.size}`;
    this.#hosts.set(name, host);
    const namespace = this.#namespace(name);
    const outside = `v${TAG}${this.#bridge.slice(-1)}${name}`;
    ip("netns", "add", namespace);
    ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    ip("link", "set", outside, "master", this.#bridge, "up");
    ip("-n", namespace, "addr", "add", `${host}/24`, "dev", "eth0");
    ip("-n", namespace, "link", "set", "eth0", "up");
    ip("-n", namespace, "link", "set", "lo", "up");
    return host;
  }

  /** What runs a program inside the namespace. */
  wrapper(name: string): string[] {
    return [findOnPath("ip") ?? "ip", "netns", "exec", this.#namespace(name)];
  }

  /** Nothing from `from` reaches `to` any more. */
  cutOneWay(from: string, to: string): void {
    ip("-n", this.#namespace(from), "route", "replace", "blackhole", `${this.#host(to)}/32`);
  }

  /** Both ways. */
  cut(a: string, b: string): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  /** Cuts a member off from all other members; clients still reach it. */
  isolate(name: string): void {
    for (const other of this.#hosts.keys()) if (other !== name) this.cut(name, other);
  }

  /** Ends all cuts. */
  heal(): void {
    for (const from of this.#hosts.keys()) {
      for (const to of this.#hosts.values())
        quietly("-n", this.#namespace(from), "route", "del", "blackhole", `${to}/32`);
    }
  }

  #namespace(name: string): string {
    return `${this.#bridge}-${name}`;
  }

  #host(name: string): string {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`no namespace of ${name}`);
    return host;
  }
}

/** First three numbers of a /24 that no interface has: a run that was killed may have left its bridge, and takes what is sent to it. */
function freeNet(number: number): string {
  const taken = ip("-o", "-4", "addr");
  for (let i = 0; i < NETS; i++) {
    const net = `10.${200 + ((process.pid + i) % NETS)}.${number % 250}`;
    if (!taken.includes(` ${net}.`)) return net;
  }
  throw new Error(`all of 10.200.${number % 250}.0/24 and the ${NETS - 1} like it are taken`);
}

/** Returns what it printed. */
function ip(...args: string[]): string {
  return execFileSync("ip", args, { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
}

function quietly(...args: string[]): void {
  try {
    ip(...args);
  } catch {
    // It is gone already, or was never there.
  }
}
