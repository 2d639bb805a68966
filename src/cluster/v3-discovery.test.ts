import { test } from "node:test";
import { deepEqual, equal, rejects } from "node:assert/strict";
import { DiscoveryError, type Registry, type RegistryEntry, joinByDiscovery } from "./v3-discovery.ts";

const PREFIX = "/_etcd/registry/tok";

/** A registry in memory; `fail` calls reject first. */
class MemoryRegistry implements Registry {
  readonly entries = new Map<string, RegistryEntry>();
  fail = 0;
  #revision = 1;

  constructor(size: string | undefined) {
    if (size !== undefined) this.set(`${PREFIX}/_config/size`, size);
  }

  set(key: string, value: string): void {
    const createRevision = this.entries.get(key)?.createRevision ?? ++this.#revision;
    this.entries.set(key, { key, value, createRevision });
  }

  async get(key: string): Promise<string | undefined> {
    await this.#reach();
    return this.entries.get(key)?.value;
  }

  async list(prefix: string): Promise<readonly RegistryEntry[]> {
    await this.#reach();
    return [...this.entries.values()].filter(({ key }) => key.startsWith(prefix)).reverse();
  }

  async put(key: string, value: string): Promise<void> {
    await this.#reach();
    this.set(key, value);
  }

  #reach(): Promise<void> {
    return this.fail-- > 0 ? Promise.reject(new Error("unreachable")) : Promise.resolve();
  }
}

function join(registry: MemoryRegistry, memberId: bigint, onSleep: (ms: number) => void = () => undefined) {
  return joinByDiscovery({
    token: "tok",
    memberId,
    self: `m${memberId}=http://h:${memberId}`,
    registry,
    sleep: (ms) => {
      onSleep(ms);
      return Promise.resolve();
    },
    log: () => undefined,
  });
}

test("founders come in the order in which they registered, and wait for each other", async () => {
  const registry = new MemoryRegistry("3");
  let waits = 0;
  const founders = await join(registry, 10n, () => {
    if (++waits === 2) registry.set(`${PREFIX}/members/2`, "m2=http://h:2");
    if (waits === 3) registry.set(`${PREFIX}/members/1`, "m1=http://h:1");
  });
  equal(founders, "m10=http://h:10,m2=http://h:2,m1=http://h:1");
  equal(await join(registry, 2n), founders, "a founder that starts again finds the same");
  equal(waits, 3);
});

test("who comes too late is refused, also when it registered meanwhile", async () => {
  const registry = new MemoryRegistry("1");
  registry.set(`${PREFIX}/members/1`, "m1=http://h:1");
  await rejects(join(registry, 2n), new DiscoveryError("discovery: cluster is full"));
  registry.set(`${PREFIX}/members/2`, "m2=http://h:2");
  await rejects(join(registry, 2n), new DiscoveryError("discovery: cluster is full"));
});

test("entries that are no member do not count", async () => {
  const registry = new MemoryRegistry("1");
  registry.set(`${PREFIX}/members/1`, "nonsense");
  equal(await join(registry, 2n), "m2=http://h:2");
});

test("an unknown token and a broken size are final", async () => {
  await rejects(join(new MemoryRegistry(undefined), 1n), /size key not found/);
  for (const size of ["0", "-1", "x", ""]) {
    await rejects(join(new MemoryRegistry(size), 1n), /size key is bad/, size);
  }
});

test("failures are tried again, with growing pauses", async () => {
  const registry = new MemoryRegistry("1");
  registry.fail = 3;
  const pauses: number[] = [];
  equal(await join(registry, 1n, (ms) => pauses.push(ms)), "m1=http://h:1");
  deepEqual(pauses, [2000, 4000, 8000]);
});
