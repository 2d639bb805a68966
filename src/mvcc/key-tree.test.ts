import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../base/prng.ts";
import { KeyHash } from "./key-hash.ts";
import { KeyTable } from "./key-table.ts";
import { removeKey } from "./key-tree-remove.ts";
import { CHILDREN, COUNT, ENTRIES, FANOUT, KeyTree, LEAST, LIVES, NEXT, PARENT } from "./key-tree.ts";
import { HEADS, SKIP } from "./node-search.ts";
import { Probe } from "./probe.ts";

class Index {
  readonly table = new KeyTable();
  readonly hash = new KeyHash(this.table);
  readonly tree = new KeyTree(this.table);
  readonly probe = new Probe();

  find(key: string): number {
    const bytes = Buffer.from(key, "latin1");
    this.probe.set(bytes, 0, bytes.length);
    this.probe.computeHash(3);
    return this.hash.find(this.probe);
  }

  insert(key: string, live = 1): void {
    assert.equal(this.find(key), 0);
    const id = this.table.add(this.probe);
    this.hash.add(id, this.probe.hash);
    this.tree.insert(id, live, this.probe);
  }

  remove(key: string): void {
    const id = this.find(key);
    this.tree.setLive(this.probe, 0);
    removeKey(this.tree, id, this.probe);
    this.hash.remove(id);
    this.table.remove(id);
  }

  text(id: number): string {
    const bytes = Buffer.alloc(64);
    return bytes.toString("latin1", 0, this.table.copyKey(id, bytes, 0));
  }

  /** All keys, by the leaf links. */
  keys(): string[] {
    const { tree } = this;
    const keys: string[] = [];
    tree.seek(Object.assign(new Probe(), { length: 0 }));
    for (let leaf = tree.leaf; leaf !== 0; leaf = tree.leafWords(leaf)[tree.leafAt(leaf) + NEXT]) {
      const entries = tree.leafAt(leaf) + ENTRIES;
      const count = tree.leafWords(leaf)[tree.leafAt(leaf) + COUNT];
      for (let at = entries; at < entries + count; at++) keys.push(this.text(tree.leafWords(leaf)[at] >>> 1));
    }
    return keys;
  }

  /** Checks parents, least keys and live counts of everything under `node`; returns its live keys and its least id. */
  check(node = this.tree.root, level = this.tree.height, parent = 0): { live: number; least: number } {
    const { tree } = this;
    const words = level === 0 ? tree.leafWords(node) : tree.innerWords(node);
    const at = level === 0 ? tree.leafAt(node) : tree.innerAt(node);
    assert.equal(words[at + PARENT], parent, "parent");
    const keys = level === 0 ? ENTRIES : LEAST;
    for (let index = 0; index < words[at + COUNT]; index++) {
      const id = words[at + keys + index] >>> (level === 0 ? 1 : 0);
      assert.equal(words[at + HEADS + index], this.table.bigEndianWord(id, words[at + SKIP]), "head");
      assert.ok(
        this.table.commonWords(id, words[at + keys] >>> (level === 0 ? 1 : 0)) >= words[at + SKIP],
        "skip",
      );
    }
    let live = 0;
    for (let index = 0; index < words[at + COUNT]; index++) {
      if (level === 0) live += words[at + ENTRIES + index] & 1;
      else {
        const child = this.check(words[at + CHILDREN + index], level - 1, node);
        assert.equal(words[at + LIVES + index], child.live, "live keys under a child");
        assert.equal(words[at + LEAST + index], child.least, "least key of a child");
        live += child.live;
      }
    }
    return { live, least: level === 0 ? words[at + ENTRIES] >>> 1 : words[at + LEAST] };
  }
}

test("random inserts and removals keep order, links, ranks and counts", () => {
  const prng = new Prng(5);
  const index = new Index();
  const expected = new Set<string>();
  for (const target of [9_000, 300, 6_000, 0, 500]) {
    while (expected.size !== target) {
      if (expected.size < target) {
        const key = `k${prng.below(1e9).toString(36)}`;
        if (!expected.has(key)) index.insert(key);
        expected.add(key);
      } else {
        const key = [
          ...expected
            .values()
            .drop(prng.below(Math.min(50, expected.size)))
            .take(1),
        ][0];
        index.remove(key);
        expected.delete(key);
      }
    }
    const sorted = [...expected].sort();
    assert.deepEqual(index.keys(), sorted);
    assert.equal(index.check().live, target);
    assert.equal(index.tree.live, target);
    assert.equal(index.hash.count, target);
    for (let tries = 0; tries < 50; tries++) {
      const key = `k${prng.below(1e9).toString(36)}`;
      const id = index.find(key);
      assert.equal(id !== 0, expected.has(key));
      assert.equal(index.tree.rank(index.probe), sorted.filter((other) => other < key).length);
    }
  }
});

test("removed keys leave no sparse tree, and their memory is used again", () => {
  const index = new Index();
  const name = (round: number, key: number): string =>
    `churn/${String(round).padStart(4, "0")}/${String(key).padStart(6, "0")}`;
  const sizes: number[] = [];
  for (let round = 0; round < 12; round++) {
    for (let key = 0; key < 3_000; key++) index.insert(name(round, key));
    for (let key = 0; key < 3_000; key++) if (key % 100 !== 0) index.remove(name(round, key));
    index.check();
    sizes.push(index.tree.leaves.used + index.table.pool.used * 16 + index.table.arena.allocatedBytes);
  }
  assert.equal(index.tree.live, 12 * 30);
  assert.ok(index.tree.leaves.live < (12 * 30) / (FANOUT / 4) + 2, `${index.tree.leaves.live} leaves`);
  assert.ok(sizes[11] - sizes[1] < 12 * 30 * 100, `grew from ${sizes[1]} to ${sizes[11]}`);
});

test("ascending inserts fill their leaves, at the end and in the middle", () => {
  const index = new Index();
  for (let key = 0; key < 6_400; key++) index.insert(`a${String(key).padStart(6, "0")}`);
  assert.equal(index.tree.leaves.live, 6_400 / FANOUT);
  index.insert("z");
  for (let key = 0; key < 6_400; key++) index.insert(`b${String(key).padStart(6, "0")}`, key % 2);
  assert.ok(index.tree.leaves.live < (2 * 6_400 * 1.1) / FANOUT, `${index.tree.leaves.live} leaves`);
  assert.equal(index.check().live, 6_400 + 1 + 3_200);
});
