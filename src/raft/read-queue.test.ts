import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Prng } from "../base/prng.ts";
import { ReadQueue } from "./read-queue.ts";

/** What the queue should be: an array. */
interface ModelRead {
  readonly id: number;
  readonly context: number;
  readonly bytes: number;
  index: number;
}

/** Random operations on both. Ids ascend, unless `shuffled`. */
function compare(prng: Prng, shuffled: boolean): { pushed: number; cancelled: number; given: number } {
  const queue = new ReadQueue();
  let model: ModelRead[] = [];
  const count = { pushed: 0, cancelled: 0, given: 0 };
  let [context, confirmed, index] = [1, 0, 1];
  const ids = Array.from({ length: 8000 }, (_, i) => i);
  if (shuffled) ids.sort(() => prng.below(3) - 1);
  for (let step = 0; step < 20_000; step++) {
    const what = prng.below(100);
    // Long stretches in which it only grows, and others in which it empties.
    const isGrowing = Math.floor(step / 4000) % 2 === 0;
    if (what < (isGrowing ? 70 : 5) && count.pushed < ids.length) {
      const id = ids[count.pushed++];
      const payload = new Uint8Array(8 + (id % 5)).fill(id & 0xff);
      queue.push(context, 0, id, payload, 4, payload.length);
      model.push({ id, context, bytes: payload.length - 4, index: -1 });
    } else if (what < 75) {
      const at = prng.below(2) === 0 ? prng.below(model.length + 1) : prng.below(2) * (model.length - 1);
      const id = model[at]?.id ?? 1e9;
      count.cancelled += model[at] === undefined ? 0 : 1;
      model = model.filter((read) => read.id !== id);
      queue.cancel(id);
      queue.cancel(id);
    } else if (what < 80) context++;
    else if (what < 85) {
      confirmed = Math.min(context, confirmed + prng.below(3));
      index += prng.below(3);
      queue.confirm(confirmed, index);
      for (const read of model) if (read.index < 0 && read.context <= confirmed) read.index = index;
    } else {
      const applied = index - prng.below(2);
      for (let more = prng.below(isGrowing ? 3 : 12); more > 0; more--) {
        const [first] = model;
        const isReady = first !== undefined && first.index >= 0 && first.index <= applied;
        const read = queue.firstReady(applied);
        assert.equal(read?.requestId, isReady ? first.id : undefined);
        if (!isReady) break;
        assert.deepEqual([read?.index, read?.payload[0]], [first.index, first.id & 0xff]);
        queue.shift();
        model.shift();
        count.given++;
      }
    }
    assert.equal(queue.isEmpty, model.length === 0);
    if (step % 32 > 0) continue;
    assert.equal(
      queue.bytes,
      model.reduce((sum, { bytes }) => sum + bytes, 0),
    );
  }
  return count;
}

describe("reads that wait", () => {
  for (const shuffled of [false, true]) {
    test(`any order of pushing, confirming, cancelling and taking, ids ${shuffled ? "as they come" : "ascending"}`, () => {
      const { pushed, cancelled, given } = compare(new Prng(1), shuffled);
      assert.ok(pushed > 2000 && cancelled > 500 && given > 500, "too little happened");
    });
  }

  test("a confirmation counts for reads up to its round, whatever is confirmed later", () => {
    const queue = new ReadQueue();
    const bytes = new Uint8Array(1);
    for (const [context, id] of [
      [1, 10],
      [1, 11],
      [2, 12],
    ])
      queue.push(context, 0, id, bytes, 0, 1);
    queue.confirm(1, 7);
    queue.confirm(2, 9);
    assert.equal(queue.firstReady(6), null);
    assert.equal(queue.firstReady(7)?.requestId, 10);
    queue.cancel(10);
    assert.equal(queue.firstReady(7)?.requestId, 11);
    queue.shift();
    assert.equal(queue.firstReady(8), null, "this one was asked for later");
    assert.equal(queue.firstReady(9)?.requestId, 12);
  });
});
