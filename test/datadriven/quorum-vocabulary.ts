import { describeAcked } from "../../src/raft/quorum/describe.ts";
import { JointConfig } from "../../src/raft/quorum/joint.ts";
import { majorityCommittedIndex, majorityVoteResult } from "../../src/raft/quorum/majority.ts";
import { NodeSet } from "../../src/raft/quorum/node-set.ts";
import type { AckedIndexes, VoteResult } from "../../src/raft/quorum/quorum.ts";
import type { TraceCase } from "./trace-case.ts";
import { TraceError, type Vocabulary } from "./vocabulary.ts";

/**
 * `committed cfg=(1,2) cfgj=(2,3) idx=(_,5,7)` and `vote cfg=(1,2) votes=(y,_)`: values go to the voters in the order in which they
 * are named first, `_` has not reported. `cfgj=zero` is a joint configuration whose other half is empty.
 */
export const QUORUM_VOCABULARY: Vocabulary = {
  name: "quorum",
  commands: ["committed", "vote"],
  begin: () => runCase,
};

interface Given {
  readonly voters: readonly bigint[];
  /** Null if the configuration is of one majority. */
  readonly otherVoters: readonly bigint[] | null;
  readonly values: readonly string[];
}

function runCase(testCase: TraceCase): string {
  const given = parse(testCase);
  const ids = [...new Set([...given.voters, ...(given.otherVoters ?? [])])];
  if (ids.length !== given.values.length)
    return `error: mismatched input (explicit or _) for voters ${NodeSet.of(ids).toString()}: (${given.values.join(" ")})`;
  const known = ids.map((id, i) => [id, given.values[i]] as const).filter(([, value]) => value !== "_");
  if (testCase.command === "vote")
    return runVote(given, new Map(known.map(([id, value]) => [id, isYes(value)])));
  if (testCase.command === "committed")
    return runCommitted(given, new Map(known.map(([id, value]) => [id, Number(value)])));
  throw new TraceError(`unknown command: ${testCase.command}`);
}

function parse({ args, command }: TraceCase): Given {
  const valuesOf = (key: string): readonly string[] | null =>
    args.find((argument) => argument.key === key)?.values ?? null;
  const unknown = args.find(({ key }) => !["cfg", "cfgj", "idx", "votes"].includes(key));
  if (unknown !== undefined) throw new TraceError(`unknown argument ${unknown.key}`);
  const other = valuesOf("cfgj");
  return {
    voters: (valuesOf("cfg") ?? []).map(BigInt),
    otherVoters: other?.[0] === "zero" ? [] : (other?.map(BigInt) ?? null),
    values: valuesOf(command === "vote" ? "votes" : "idx") ?? [],
  };
}

function isYes(vote: string): boolean {
  if (vote !== "y" && vote !== "n") throw new TraceError(`unknown vote: ${vote}`);
  return vote === "y";
}

function runCommitted(given: Given, indexes: ReadonlyMap<bigint, number>): string {
  const acked: AckedIndexes = { ackedIndex: (id) => indexes.get(id) ?? -1 };
  const voters = NodeSet.of(given.voters);
  if (given.otherVoters === null) {
    const index = majorityCommittedIndex(voters, acked);
    const doubts = doubtsOfMajority(voters, indexes, index);
    return `${describeAcked(voters, acked)}${doubts}${formatIndex(index)}\n`;
  }
  const other = NodeSet.of(given.otherVoters);
  const index = new JointConfig(voters, other).committedIndex(acked);
  const swapped = new JointConfig(other, voters).committedIndex(acked);
  const doubt = swapped === index ? "" : `${formatIndex(swapped)} <-- via symmetry\n`;
  return `${describeAcked(voters.union(other), acked)}${doubt}${formatIndex(index)}\n`;
}

/** Other ways to the same index; what disagrees is put out, and so fails the trace. */
function doubtsOfMajority(voters: NodeSet, indexes: ReadonlyMap<bigint, number>, index: number): string {
  const acked: AckedIndexes = { ackedIndex: (id) => indexes.get(id) ?? -1 };
  const ways: [string, number][] = [
    ["alternative computation", committedByCounting(voters, indexes)],
    ["zero-joint quorum", new JointConfig(voters).committedIndex(acked)],
    ["self-joint quorum", new JointConfig(voters, voters).committedIndex(acked)],
  ];
  for (const id of voters.ids) {
    const own = indexes.get(id) ?? 0;
    if (own === 0 || own >= index) continue;
    for (const lower of [own - 1, 0]) {
      const lowered: AckedIndexes = {
        ackedIndex: (other) => (other === id ? lower : acked.ackedIndex(other)),
      };
      ways.push([`overlaying ${id}->${lower}`, majorityCommittedIndex(voters, lowered)]);
    }
  }
  const wrong = ways.filter(([, other]) => other !== index);
  return wrong.map(([way, other]) => `${formatIndex(other)} <-- via ${way}\n`).join("");
}

/** The highest reported index that more than half of the voters reach. */
function committedByCounting(voters: NodeSet, indexes: ReadonlyMap<bigint, number>): number {
  if (voters.size === 0) return Infinity;
  const reported = voters.ids.map((id) => indexes.get(id) ?? 0);
  const isReached = (index: number): boolean =>
    reported.filter((other) => other >= index).length * 2 > voters.size;
  return Math.max(0, ...reported.filter(isReached));
}

function runVote(given: Given, votes: ReadonlyMap<bigint, boolean>): string {
  const voters = NodeSet.of(given.voters);
  if (given.otherVoters === null) return `${VOTE_NAMES[majorityVoteResult(voters, votes)]}\n`;
  const other = NodeSet.of(given.otherVoters);
  const result = new JointConfig(voters, other).voteResult(votes);
  const swapped = new JointConfig(other, voters).voteResult(votes);
  const doubt = swapped === result ? "" : `${VOTE_NAMES[swapped]} <-- via symmetry\n`;
  return `${doubt}${VOTE_NAMES[result]}\n`;
}

function formatIndex(index: number): string {
  return index === Infinity ? "∞" : String(index);
}

const VOTE_NAMES: Readonly<Record<VoteResult, string>> = {
  pending: "VotePending",
  lost: "VoteLost",
  won: "VoteWon",
};
