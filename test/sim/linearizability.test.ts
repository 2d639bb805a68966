import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Prng } from "../../src/base/prng.ts";
import { type Operation, type Verdict, checkLinearizable } from "./linearizability.ts";

type Draft = Partial<Operation> & Pick<Operation, "op">;

/** `[invoke, return]` and the operation; a missing output is unknown. */
function history(...drafts: Array<[number, number, Draft]>): Operation[] {
  return drafts.map(([invoke, end, draft], process) => ({
    process,
    key: "k",
    input: {},
    output: null,
    invoke,
    return: end,
    ...draft,
  }));
}

const put = (value: string, revision?: number): Draft => ({
  op: "put",
  input: { value },
  output: revision === undefined ? {} : { revision },
});
const lostPut = (value: string): Draft => ({ op: "put", input: { value } });
const get = (value: string | null, modRevision?: number): Draft => ({
  op: "get",
  output: modRevision === undefined ? { value } : { value, modRevision },
});
const cas = (expected: string | null, value: string, succeeded: boolean): Draft => ({
  op: "cas",
  input: { expected, value },
  output: { succeeded },
});

function explain(verdict: Verdict): string {
  return verdict.ok ? "ok" : verdict.message;
}

function accepts(name: string, operations: Operation[]): void {
  test(`accepts ${name}`, () => assert.equal(explain(checkLinearizable(operations)), "ok"));
}

function refuses(name: string, message: RegExp, operations: Operation[]): void {
  test(`refuses ${name}`, () => assert.match(explain(checkLinearizable(operations)), message));
}

describe("linearizable histories", () => {
  accepts("nothing", []);
  accepts("one after the other", history([0, 1, put("a")], [2, 3, get("a")], [4, 5, get("a")]));
  accepts("a read during a write sees the old value", history([0, 9, put("a")], [1, 2, get(null)]));
  accepts("a read during a write sees the new value", history([0, 9, put("a")], [1, 2, get("a")]));
  accepts(
    "overlapping writes in either order",
    history([0, 9, put("a")], [0, 9, put("b")], [10, 11, get("a")]),
  );
  accepts("operations that touch at one instant overlap", history([0, 5, put("a")], [5, 6, get(null)]));
  accepts("a lost write that nobody saw", history([0, Infinity, lostPut("a")], [1, 2, get(null)]));
  accepts(
    "a lost write that took effect late",
    history(
      [0, Infinity, lostPut("a")],
      [1, 2, get(null)],
      [3, 4, put("b")],
      [5, 6, get("b")],
      [7, 8, get("a")],
    ),
  );
  accepts(
    "a lost delete that was done",
    history([0, 1, put("a")], [2, Infinity, { op: "delete" }], [3, 4, get("a")], [5, 6, get(null)]),
  );
  accepts(
    "two compare-and-sets of which one wins",
    history([0, 1, put("a")], [2, 9, cas("a", "b", false)], [2, 9, cas("a", "c", true)], [10, 11, get("c")]),
  );
  accepts(
    "a compare-and-set that creates",
    history([0, 1, cas(null, "a", true)], [2, 3, cas(null, "b", false)]),
  );
  accepts(
    "a lost compare-and-set whose value was seen",
    history(
      [0, 1, put("a")],
      [2, Infinity, { op: "cas", input: { expected: "a", value: "b" } }],
      [3, 4, get("b")],
    ),
  );
  accepts(
    "a value written twice",
    history(
      [0, 1, put("a")],
      [2, Infinity, lostPut("a")],
      [3, 4, { op: "delete", output: { succeeded: true } }],
      [5, 6, get("a")],
    ),
  );
  accepts("keys independently", [
    ...history([0, 1, put("a")], [2, 3, get("a")]),
    ...history([0, 1, put("b")], [2, 3, get("b")]).map((operation) => ({ ...operation, key: "other" })),
  ]);
  accepts(
    "revisions that grow",
    history(
      [0, 9, put("a", 3)],
      [0, 9, put("b", 2)],
      [10, 11, { op: "get", output: { value: "a", modRevision: 3, revision: 5 } }],
    ),
  );
});

describe("histories that are not linearizable", () => {
  refuses("a stale read", /not linearizable/, history([0, 1, put("a")], [2, 3, put("b")], [4, 5, get("a")]));
  refuses("a value that nobody wrote", /not linearizable/, history([0, 1, get("a")]));
  refuses("a lost update", /not linearizable/, history([0, 1, put("a")], [2, 3, get(null)]));
  refuses(
    "two reads that disagree on the order of two writes",
    /not linearizable/,
    history([0, 9, put("a")], [0, 9, put("b")], [1, 2, get("a")], [3, 4, get("b")], [5, 6, get("a")]),
  );
  refuses(
    "a write seen before it was called",
    /not linearizable/,
    history([0, 1, get("a")], [2, Infinity, lostPut("a")]),
  );
  refuses(
    "a lost write that was seen and then gone",
    /not linearizable/,
    history([0, Infinity, lostPut("a")], [1, 2, get("a")], [3, 4, get(null)]),
  );
  refuses(
    "two compare-and-sets from one value",
    /not linearizable/,
    history([0, 1, put("a")], [2, 9, cas("a", "b", true)], [2, 9, cas("a", "c", true)]),
  );
  refuses(
    "a compare-and-set that should have held",
    /not linearizable/,
    history([0, 1, put("a")], [2, 3, cas("a", "b", false)]),
  );
  refuses(
    "a delete of nothing that deleted",
    /not linearizable/,
    history([0, 1, { op: "delete", output: { succeeded: true } }]),
  );
  refuses(
    "one write done twice",
    /not linearizable/,
    history([0, 1, put("a", 2)], [2, 3, put("b", 3)], [4, 5, get("a", 4)]),
  );
  refuses(
    "a read that names another change",
    /not linearizable/,
    history([0, 1, put("a", 2)], [2, 3, get("a", 3)]),
  );
  refuses("two changes with one revision", /one revision/, history([0, 9, put("a", 2)], [0, 9, put("b", 2)]));
  refuses("a read of another key that is older than an answer before", /older than/, [
    ...history([0, 1, put("a", 7)]),
    ...history([2, 3, { op: "get", output: { value: null, revision: 6 } }]).map((operation) => ({
      ...operation,
      key: "other",
    })),
  ]);
});

test("the message shows the order found and what could not follow", () => {
  const verdict = checkLinearizable(history([0, 1, put("a")], [2, 3, put("b")], [4, 5, get("a")]));
  assert.ok(!verdict.ok);
  assert.deepEqual(verdict.message.split("\n").slice(1), [
    '[0, 1] client 0: put k {"value":"a"} -> {}',
    '[2, 3] client 1: put k {"value":"b"} -> {}',
    '= "b" mod 0 seen 2',
    '? [4, 5] client 2: get k -> {"value":"a"}',
  ]);
});

test("a search that takes too long is reported as undecided", () => {
  const drafts = Array.from({ length: 12 }, (_, i): [number, number, Draft] => [0, 9, put(`v${i}`)]);
  drafts.push([10, 11, get("never")]);
  assert.deepEqual(checkLinearizable(history(...drafts), 50), { ok: true, undecidedKeys: ["k"] });
});

/** Runs a register in order, stretches the operations in time, and loses some answers. */
function randomHistory(random: Prng, length: number): Operation[] {
  const operations: Operation[] = [];
  let value: string | null = null;
  let revision = 1;
  let modRevision = 0;
  for (let i = 0; i < length; i++) {
    const at = i * 10;
    const invoke = at - random.below(40);
    const end = at + random.below(40);
    const kind = random.pick(["get", "put", "cas", "delete"] as const);
    const next = `v${i}`;
    const before: string | null = value;
    const expected: string | null = random.chance(0.7) ? before : "other";
    const changes =
      kind === "put" || (kind === "delete" && before !== null) || (kind === "cas" && expected === before);
    const lost = random.chance(0.1);
    if (changes) revision++;
    const output = { revision, value: before, modRevision, succeeded: changes };
    if (kind === "put") operations.push(draft({ op: kind, input: { value: next }, output: { revision } }));
    else if (kind === "cas")
      operations.push(
        draft({
          op: kind,
          input: { value: next, expected },
          output: changes ? { revision, succeeded: true } : output,
        }),
      );
    else
      operations.push(
        draft({ op: kind, output: kind === "delete" ? { ...output, modRevision: 0 } : output }),
      );
    if (changes) {
      value = kind === "delete" ? null : next;
      modRevision = revision;
    }
    function draft(partial: Draft): Operation {
      const known = { process: i, key: "k", input: {}, output: null, invoke, return: end, ...partial };
      return lost ? { ...known, output: null, return: Infinity } : known;
    }
  }
  return operations;
}

test("histories of a real register pass, and a read turned stale is found", () => {
  let found = 0;
  for (let seed = 1; seed <= 100; seed++) {
    const operations = randomHistory(new Prng(seed), 80);
    assert.deepEqual(checkLinearizable(operations), { ok: true, undecidedKeys: [] }, `seed ${seed}`);
    const at = operations.findLastIndex(({ op, output }) => op === "get" && output !== null);
    const stale = operations.find(({ op, output }) => op === "put" && output !== null) as Operation;
    if (operations[at].invoke < stale.return + 100) continue;
    operations[at] = { ...operations[at], output: { value: stale.input.value as string } };
    const verdict = checkLinearizable(operations);
    if (!verdict.ok) found++;
  }
  assert.ok(found > 80, `only ${found} found`);
});
