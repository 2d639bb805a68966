import assert from "node:assert/strict";
import { test } from "node:test";
import { type RangeEnd } from "./range-table.ts";
import { SPARSE_SLOTS_MIN } from "./watch-limits.ts";
import { WatchRegistry } from "./watch-registry.ts";
import { WatchStream } from "./watch-stream.ts";
import { FLAGS, ID_LOW, LIST_NEXT, STREAM, WATCHER_WORDS } from "./watcher-table.ts";
import { WatcherFlag } from "./watcher-flag.ts";

const STREAMS = 3;
const encoder = new TextEncoder();

/** `STREAMS` streams, whose watchers have ids of their own and differ in range, filters and state. */
function fill(count: number): WatchRegistry {
  const registry = new WatchRegistry(7);
  for (let number = 0; number < STREAMS; number++) registry.addStream(new WatchStream(number));
  for (let id = 0; id < count; id++) {
    const stream = registry.stream(id % STREAMS) as WatchStream;
    const key = encoder.encode(`key/${id % 1000}`);
    const end: RangeEnd =
      id % 5 === 0 ? encoder.encode(`key/${(id % 1000) + 1}~`) : id % 97 === 0 ? new Uint8Array(0) : null;
    const flags = id % 4 === 0 ? WatcherFlag.noDelete : id % 6 === 0 ? WatcherFlag.prevKv : 0;
    const watcher = registry.create(stream, { idLow: id, idHigh: id & 1, key, end, flags, next: id });
    if (id % 8 === 0) registry.fallBehind(watcher, id);
    if (id % 11 === 0) registry.setCompacted(watcher);
  }
  return registry;
}

/** Removes all but every `kept`-th. */
function thinOut(registry: WatchRegistry, count: number, kept: number): void {
  for (let id = 0; id < count; id++)
    if (id % kept !== 0) registry.remove(registry.watchers.find(id % STREAMS, id, id & 1));
}

/** Who is found for each key, in which state; and what the counters say. */
function describe(registry: WatchRegistry): string[] {
  const lines: string[] = [];
  const words = (): Int32Array => registry.watchers.slots.words;
  const list = (first: number): string => {
    const found: string[] = [];
    for (let at = first * WATCHER_WORDS; at !== 0; at = words()[at + LIST_NEXT] * WATCHER_WORDS) {
      const next = registry.watchers.next[at / WATCHER_WORDS];
      found.push(`${words()[at + STREAM]}:${words()[at + ID_LOW]}:${words()[at + FLAGS]}:${next}`);
    }
    return found.toSorted().join(" ");
  };
  for (let key = 0; key < 1000; key += 50) {
    const bytes = encoder.encode(`key/${key}`);
    for (const tombstone of [false, true]) {
      const interests: number[] = [];
      registry.match(bytes, 0, bytes.length, tombstone, interests);
      const wanted = interests.map((interest) => {
        const lists = `${list(registry.firstSynced(interest))} | ${list(registry.firstBehind(interest))}`;
        return `${registry.wantsPrevious(interest)} ${lists}`;
      });
      lines.push(`${key} ${tombstone} ${wanted.toSorted().join(", ")}`);
    }
  }
  lines.push(`${registry.behind} ${registry.previousWanted} ${registry.ranges} ${registry.watchers.size}`);
  return lines;
}

test("a registry that most watchers have left is the same in less memory after a rebuild", () => {
  const count = SPARSE_SLOTS_MIN * 2;
  const registry = fill(count);
  assert.equal(registry.isSparse, false);
  thinOut(registry, count, 9);
  assert.equal(registry.isSparse, true);
  const before = describe(registry);
  const { capacity } = registry.watchers.slots;
  registry.rebuild();
  assert.deepEqual(describe(registry), before);
  assert.ok(registry.watchers.slots.capacity * 4 <= capacity, `${registry.watchers.slots.capacity}`);
  assert.equal(registry.isSparse, false);
  for (let number = 0; number < STREAMS; number++)
    registry.removeStream(registry.stream(number) as WatchStream);
  assert.deepEqual(
    [registry.watchers.size, registry.behind, registry.previousWanted, registry.ranges],
    [0, 0, 0, 0],
  );
});

test("a registry that all have left is empty after a rebuild, and can be used again", () => {
  const registry = fill(SPARSE_SLOTS_MIN);
  for (let id = 0; id < SPARSE_SLOTS_MIN; id++)
    registry.remove(registry.watchers.find(id % STREAMS, id, id & 1));
  assert.equal(registry.isSparse, true);
  registry.rebuild();
  const key = encoder.encode("key/1");
  const stream = registry.stream(0) as WatchStream;
  assert.equal(stream.head, 0);
  const watcher = registry.create(stream, { idLow: 1, idHigh: 0, key, end: null, flags: 0, next: 1 });
  const interests: number[] = [];
  registry.match(key, 0, key.length, false, interests);
  assert.deepEqual(
    interests.map((interest) => registry.firstSynced(interest)),
    [watcher],
  );
});
