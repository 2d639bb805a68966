import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bootstrapHardState, encodeBootstrapEntries } from "./bootstrap.ts";
import { EntryType } from "./raft.ts";
import { SingleVoter } from "./single-voter.ts";
import { TermTable } from "./term-table.ts";

const NODE = 0xaf277c1dfad997d2n;

function startVoter(
  options: { commit?: number; term?: number; baseIndex?: number; baseTerm?: number; terms?: number[] } = {},
) {
  const appended: string[] = [];
  const voter = new SingleVoter({
    nodeId: NODE,
    hardState: { term: options.term ?? 1, vote: 0n, commit: options.commit ?? 1 },
    baseIndex: options.baseIndex ?? 0,
    baseTerm: options.baseTerm ?? 0,
    terms: options.terms ?? [1],
    sink: {
      appendEntry: (type, term, index, _bytes, start, end) =>
        appended.push(`${term}/${index} type ${type}, ${end - start} B`),
    },
  });
  return { voter, appended };
}

const DATA = new Uint8Array(10);

describe("one voter", () => {
  test("takes leadership at the next term with a vote for itself and an empty entry", () => {
    const { voter, appended } = startVoter();
    assert.equal(voter.propose(EntryType.normal, DATA, 0, 10), 0, "no leader before start");
    voter.start();
    assert.deepEqual(appended, ["2/2 type 0, 0 B"]);
    assert.deepEqual(
      [voter.term, voter.leaderId, voter.isLeader, voter.lastIndex, voter.commitIndex],
      [2, NODE, true, 2, 1],
    );
    const ready = voter.ready();
    assert.ok(ready.hardStateChanged && ready.leaderChanged);
    assert.deepEqual(ready.hardState, { term: 2, vote: NODE, commit: 1 });
    voter.advance();
    assert.equal(voter.hasReady(), false);
  });

  test("commits what its storage holds, once an entry of its own term is among it", () => {
    const { voter } = startVoter({ terms: [1, 1, 1], commit: 1 });
    voter.start();
    assert.equal(voter.propose(EntryType.normal, DATA, 2, 7), 5);
    voter.entriesStored(3, 1);
    assert.equal(voter.commitIndex, 1, "entries of an older term are not committed by themselves");
    voter.entriesStored(4, 2);
    assert.equal(voter.commitIndex, 4);
    voter.entriesStored(5, 2);
    assert.equal(voter.ready().commitIndex, 5);
    assert.throws(() => voter.entriesStored(6, 2), /storage holds more than the log: 6, 5/);
  });

  test("vouches for reads only once an entry of its term is committed", () => {
    const { voter } = startVoter();
    voter.start();
    voter.readIndex(1);
    assert.equal(voter.immediateReadIndex(), -1);
    assert.equal(voter.ready().readContext, 0);
    voter.entriesStored(2, 2);
    assert.equal(voter.immediateReadIndex(), 2);
    assert.deepEqual([voter.ready().readContext, voter.ready().readIndex], [1, 2]);
    voter.advance();
    voter.readIndex(2);
    assert.ok(voter.hasReady());
    assert.equal(voter.ready().readContext, 2);
    assert.throws(() => voter.readIndex(2), /read contexts grow/);
  });

  test("a restart goes on behind the applied index even if the stored commit index lags", () => {
    const { voter, appended } = startVoter({ term: 3, commit: 5, baseIndex: 8, baseTerm: 2, terms: [3, 3] });
    assert.equal(voter.commitIndex, 8);
    voter.start();
    assert.deepEqual(appended, ["4/11 type 0, 0 B"]);
    assert.deepEqual(
      [8, 9, 10, 11, 12].map((index) => voter.termAt(index)),
      [2, 3, 3, 4, 0],
    );
    assert.throws(() => startVoter({ commit: 7, terms: [1] }), /commit index beyond the log: 7, 1/);
  });
});

describe("term table", () => {
  test("knows terms across changes, truncation and release", () => {
    const table = new TermTable(10, 2);
    for (const [index, term] of [
      [11, 2],
      [12, 3],
      [13, 3],
      [14, 5],
    ] as const)
      table.append(index, term);
    assert.deepEqual(
      [9, 10, 11, 12, 13, 14, 15].map((index) => table.termAt(index)),
      [0, 2, 2, 3, 3, 5, 0],
    );
    table.append(13, 6);
    assert.deepEqual(
      [table.lastIndex, table.lastTerm, table.termAt(12), table.termAt(13), table.termAt(14)],
      [13, 6, 3, 6, 0],
    );
    table.release(12);
    assert.deepEqual([table.termAt(11), table.termAt(12), table.termAt(13)], [0, 3, 6]);
    assert.throws(() => table.append(15, 6), /consecutive/);
    assert.throws(() => table.append(14, 5), /terms never go back/);
  });
});

test("bootstrap entries are etcd's bytes, ascending by id", () => {
  const members = [
    { id: 0xf000000000000000n, name: "b<&", peerUrls: ["http://127.0.0.1:2"] },
    { id: 7383792418829112008n, name: "n1", peerUrls: ["http://127.0.0.1:42380"] },
  ];
  const [first, second] = encodeBootstrapEntries(members) as [Uint8Array, Uint8Array];
  // Read from the WAL of an etcd 3.6 that was started with this member.
  const context = '{"id":7383792418829112008,"peerURLs":["http://127.0.0.1:42380"],"name":"n1"}';
  assert.equal(
    Buffer.from(first).toString("hex"),
    "0800100018c8a5a0dcd782a0bc66224c" + Buffer.from(context).toString("hex"),
  );
  assert.match(Buffer.from(second).toString(), /"id":17293822569102704640,.*"name":"b\\u003c\\u0026"/);
  assert.deepEqual(bootstrapHardState(2), { term: 1, vote: 0n, commit: 2 });
});
