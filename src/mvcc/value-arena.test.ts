import assert from "node:assert/strict";
import { test } from "node:test";
import { ValueArena } from "./value-arena.ts";

function append(arena: ValueArena, bytes: number, main: number): number {
  const location = arena.allocate(bytes, main);
  arena.memory.fill(main & 0xff, arena.offset, arena.offset + bytes);
  return location;
}

function holds(arena: ValueArena, location: number, bytes: number, main: number): boolean {
  const from = location % arena.chunkBytes;
  return (
    arena.has(location) &&
    arena
      .memoryOf(location)
      .subarray(from, from + bytes)
      .every((byte) => byte === (main & 0xff))
  );
}

test("committed values leave oldest first, within the budget", () => {
  const arena = new ValueArena(4096, 1024);
  const locations: number[] = [];
  for (let main = 1; main <= 100; main++) {
    locations.push(append(arena, 300, main));
    arena.committed(main);
  }
  assert.ok(arena.allocatedBytes <= 4096);
  const first = locations.findIndex((location) => arena.has(location));
  assert.ok(first >= 100 - 12 && first <= 100 - 9, `first in memory: ${first}`);
  for (let index = first; index < 100; index++) assert.ok(holds(arena, locations[index], 300, index + 1));
});

test("uncommitted values stay, beyond the budget, until storage has them", () => {
  const arena = new ValueArena(4096, 1024);
  arena.committed(append(arena, 10, 1) + 1);
  const locations: number[] = [];
  for (let main = 2; main <= 60; main++) locations.push(append(arena, 500, main));
  for (const [index, location] of locations.entries()) assert.ok(holds(arena, location, 500, index + 2));
  assert.ok(arena.uncommittedBytes >= 59 * 500);
  arena.committed(40);
  assert.ok(holds(arena, locations[39], 500, 41));
  assert.ok(arena.uncommittedBytes >= 20 * 500 && arena.uncommittedBytes < 24 * 512);
  arena.committed(60);
  assert.equal(arena.uncommittedBytes, 0);
  assert.ok(arena.allocatedBytes <= 4096);
  append(arena, 10, 61);
  assert.ok(arena.uncommittedBytes > 0);
});

test("values longer than a chunk lie in one piece and are given back", () => {
  const arena = new ValueArena(4096, 1024);
  const long = append(arena, 5000, 1);
  const behind = append(arena, 100, 2);
  assert.ok(holds(arena, long, 5000, 1));
  assert.ok(holds(arena, behind, 100, 2));
  arena.committed(2);
  assert.equal(arena.has(long), false);
  assert.ok(holds(arena, behind, 100, 2));
  for (let main = 3; main < 40; main++) {
    const location = append(arena, main % 5 === 0 ? 3000 : 700, main);
    assert.ok(holds(arena, location, main % 5 === 0 ? 3000 : 700, main));
    arena.committed(main);
  }
  assert.ok(arena.allocatedBytes <= 4096 + 1024);
});
