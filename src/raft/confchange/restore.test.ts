import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../base/prng.ts";
import { compareIds } from "../quorum/node-set.ts";
import type { ConfChangeSingle, ConfState } from "../raft.ts";
import { Configuration } from "../tracker/configuration.ts";
import { Changer, type ChangeResult, type GroupState } from "./changer.ts";
import { ConfChangeType } from "./conf-change-type.ts";
import { restore } from "./restore.ts";

const OPTIONS = { lastIndex: 10, inflightCountMax: 20, inflightBytesMax: 0 };
const SEEDS = 300;

function restored(confState: ConfState): GroupState {
  const result = restore(confState, OPTIONS);
  assert.ok(result.ok, result.ok ? "" : result.error);
  return result;
}

test("a joint configuration with a learner in waiting is restored", () => {
  const confState: ConfState = {
    voters: [1n, 2n, 3n],
    learners: [5n],
    votersOutgoing: [1n, 2n, 4n, 6n],
    learnersNext: [4n],
    autoLeave: true,
  };
  const { configuration, progress } = restored(confState);
  assert.deepEqual(configuration.confState(), confState);
  assert.deepEqual([...progress.keys()].sort(compareIds), [1n, 2n, 3n, 4n, 5n, 6n]);
  assert.deepEqual([progress.get(5n)?.isLearner, progress.get(4n)?.isLearner], [true, false]);
});

test("whatever changes lead to, is restored from its ConfState", () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const prng = new Prng(seed);
    let state: GroupState = restored({
      voters: [1n],
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    });
    for (let step = 0; step < 12; step++) {
      const result = randomChange(state, prng);
      if (result.ok) state = result;
      const again = restored(state.configuration.confState());
      assert.deepEqual(again.configuration, state.configuration, `seed ${seed} step ${step}`);
      assert.deepEqual(
        again.progress.keys().toArray().sort(compareIds),
        state.progress.keys().toArray().sort(compareIds),
        `seed ${seed}`,
      );
    }
  }
});

test("a refused change leaves configuration and progress as they were", () => {
  const state = restored({
    voters: [1n, 2n],
    learners: [],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  });
  const changes = [
    { type: ConfChangeType.addLearnerNode, nodeId: 1n },
    { type: ConfChangeType.addLearnerNode, nodeId: 2n },
  ];
  const result = new Changer(state, OPTIONS).simple(changes);
  assert.deepEqual(result, { ok: false, error: "removed all voters" });
  assert.equal(state.configuration.toString(), "voters=(1 2)");
  assert.equal(state.progress.get(1n)?.isLearner, false);
});

test("a configuration that breaks an invariant is not changed further", () => {
  const empty = { configuration: new Configuration({ autoLeave: true }), progress: new Map() };
  const result = new Changer(empty, OPTIONS).simple([{ type: ConfChangeType.addNode, nodeId: 1n }]);
  assert.deepEqual(result, { ok: false, error: "AutoLeave must be false when not joint" });
});

function randomChange(state: GroupState, prng: Prng): ChangeResult {
  const changer = new Changer(state, OPTIONS);
  const changes: ConfChangeSingle[] = Array.from({ length: 1 + prng.below(4) }, () => ({
    type: prng.below(4),
    nodeId: BigInt(prng.below(6)),
  }));
  if (state.configuration.isJoint) return changer.leaveJoint();
  return prng.chance(0.5)
    ? changer.enterJoint(prng.chance(0.5), changes)
    : changer.simple(changes.slice(0, 1));
}
