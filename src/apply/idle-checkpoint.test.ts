import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CHECKPOINT_CHANGES_MIN,
  IdleCheckpoint,
  QUIET_MS_MIN,
  type CheckpointJob,
} from "./idle-checkpoint.ts";

/** A member's index by its counters, and a file that takes two slices. */
class World {
  nowMs = 0;
  changes = 0;
  slices = 0;
  keys = 0;
  outdated = false;
  compacting = false;
  committed = true;
  beginError: Error | null = null;
  finishError: Error | null = null;
  readonly events: string[] = [];
  readonly idle = new IdleCheckpoint({
    changes: () => this.changes,
    indexVersion: () => this.changes + this.slices,
    keys: () => this.keys,
    isCompacting: () => this.compacting,
    isOutdated: () => this.outdated,
    begin: () => this.#begin(),
    onFailed: (error) => this.events.push(`failed: ${(error as Error).message}`),
  });

  #begin(): CheckpointJob {
    if (this.beginError !== null) throw this.beginError;
    let left = 2;
    this.events.push("begin");
    return {
      writeSlice: () => --left === 0,
      isCommitted: () => this.committed,
      finish: async () => {
        if (this.finishError !== null) throw this.finishError;
        this.events.push("finish");
        this.outdated = false;
      },
      abandon: () => this.events.push("abandon"),
    };
  }

  /** The apply loop with nothing to do, until `ms` from now: sleeps as long as it may. */
  async rest(ms: number): Promise<void> {
    const end = this.nowMs + ms;
    for (;;) {
      while (this.idle.turn(this.nowMs)) continue;
      if (this.idle.waitsForEvents) await new Promise((resolve) => setImmediate(resolve));
      const sleepMs = this.idle.sleepMs(this.nowMs);
      if (this.nowMs + sleepMs > end) break;
      this.nowMs += sleepMs;
    }
    this.nowMs = end;
  }

  takeEvents(): string[] {
    return this.events.splice(0);
  }
}

test("enough changes and a quiet second make a checkpoint, and then it takes as many again", async () => {
  const world = new World();
  world.changes = CHECKPOINT_CHANGES_MIN - 1;
  await world.rest(1_000_000);
  assert.deepEqual(world.takeEvents(), []);
  world.changes++;
  await world.rest(QUIET_MS_MIN - 1);
  assert.deepEqual(world.takeEvents(), []);
  await world.rest(1);
  assert.deepEqual(world.takeEvents(), ["begin", "finish"]);
  assert.equal(world.idle.unsavedChanges, 0);
  world.changes += CHECKPOINT_CHANGES_MIN - 1;
  await world.rest(1_000_000);
  assert.deepEqual(world.takeEvents(), []);
});

test("a store of many keys waits for a quarter of them", async () => {
  const world = new World();
  world.keys = 1_000_000;
  world.changes = 249_999;
  await world.rest(10_000);
  assert.deepEqual(world.takeEvents(), []);
  world.changes++;
  await world.rest(10_000);
  assert.deepEqual(world.takeEvents(), ["begin", "finish"]);
});

test("a checkpoint that compaction has passed counts as none", async () => {
  const world = new World();
  world.keys = CHECKPOINT_CHANGES_MIN;
  await world.rest(10_000);
  assert.deepEqual(world.takeEvents(), []);
  world.outdated = true;
  await world.rest(QUIET_MS_MIN);
  assert.deepEqual(world.takeEvents(), ["begin", "finish"]);
});

test("it is quiet from the end of a compaction on, though nothing changes while storage deletes", async () => {
  const world = new World();
  world.changes = CHECKPOINT_CHANGES_MIN;
  world.compacting = true;
  await world.rest(10 * QUIET_MS_MIN);
  assert.deepEqual(world.takeEvents(), []);
  world.compacting = false;
  await world.rest(QUIET_MS_MIN - 1);
  assert.deepEqual(world.takeEvents(), []);
  await world.rest(1);
  assert.deepEqual(world.takeEvents(), ["begin", "finish"]);
});

test("a change during the writing gives it up, and the next attempt asks for twice the quiet", async () => {
  const world = new World();
  world.changes = CHECKPOINT_CHANGES_MIN;
  world.idle.turn(0);
  for (const quietMs of [1000, 2000, 4000]) {
    world.nowMs += quietMs - 1;
    assert.equal(world.idle.turn(world.nowMs), false);
    world.nowMs++;
    assert.equal(world.idle.turn(world.nowMs), true);
    assert.deepEqual(world.takeEvents(), ["begin"]);
    world.slices++; // compaction changes the index too
    world.idle.turn(world.nowMs);
    assert.deepEqual(world.takeEvents(), ["abandon"]);
  }
  await world.rest(8000);
  assert.deepEqual(world.takeEvents(), ["begin", "finish"]);
  world.changes += CHECKPOINT_CHANGES_MIN;
  await world.rest(QUIET_MS_MIN);
  assert.deepEqual(world.takeEvents(), ["begin", "finish"]);
});

test("once the index is not borrowed any more, changes do not matter; storage's commit does", async () => {
  const world = new World();
  world.committed = false;
  world.changes = CHECKPOINT_CHANGES_MIN;
  await world.rest(QUIET_MS_MIN);
  world.changes += 7;
  await world.rest(1);
  assert.deepEqual(world.takeEvents(), ["begin"]);
  world.committed = true;
  await world.rest(1);
  assert.deepEqual(world.takeEvents(), ["finish"]);
  assert.equal(world.idle.unsavedChanges, 7);
});

test("an attempt that fails is tried again, later and later", async () => {
  const world = new World();
  world.changes = CHECKPOINT_CHANGES_MIN;
  world.beginError = new Error("no space");
  await world.rest(QUIET_MS_MIN);
  assert.deepEqual(world.takeEvents(), ["failed: no space"]);
  world.beginError = null;
  world.finishError = new Error("EIO");
  await world.rest(2000);
  assert.deepEqual(world.takeEvents(), ["begin", "failed: EIO"]);
  world.finishError = null;
  await world.rest(3999);
  assert.deepEqual(world.takeEvents(), []);
  await world.rest(10);
  assert.deepEqual(world.takeEvents(), ["begin", "finish"]);
});

test("stopping gives up what is being written", async () => {
  const world = new World();
  world.changes = CHECKPOINT_CHANGES_MIN;
  world.idle.turn(0);
  world.idle.turn(QUIET_MS_MIN);
  await world.idle.stop();
  assert.deepEqual(world.takeEvents(), ["begin", "abandon"]);
});
