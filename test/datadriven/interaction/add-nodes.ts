import { Prng } from "../../../src/base/prng.ts";
import { createRaft } from "../../../src/raft/core/raft-core.ts";
import { MemoryEntryStore } from "../../../src/raft/core/memory-entry-store.ts";
import type { RaftLogger } from "../../../src/raft/core/raft-logger.ts";
import type { RaftOptions } from "../../../src/raft/core/raft-options.ts";
import type { SnapshotMeta } from "../../../src/raft/raft.ts";
import type { TraceCase } from "../trace-case.ts";
import { TraceError } from "../vocabulary.ts";
import { countOf, firstId, flagOf, idOf, pairsOf } from "./arguments.ts";
import type { Environment } from "./environment.ts";
import { StableStorage } from "./stable-storage.ts";
import { MemberError, TraceMember } from "./trace-member.ts";

const ELECTION_TICKS = 3;
const HEARTBEAT_TICKS = 1;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What all members of one command start with. */
interface Start {
  /** The state of a group that exists already: index 0 and no members for a new one. */
  readonly voters: bigint[];
  readonly learners: bigint[];
  index: number;
  content: string;
  isAsync: boolean;
  readonly rules: Partial<Mutable<RaftOptions>>;
}

/** Applies one `key=value` of the command. */
const SETTINGS: Readonly<Record<string, (start: Start, value: string) => void>> = {
  voters: (start, value) => start.voters.push(idOf(value)),
  learners: (start, value) => start.learners.push(idOf(value)),
  index: (start, value) => (start.index = countOf(value)),
  content: (start, value) => (start.content = value),
  "async-storage-writes": (start, value) => (start.isAsync = flagOf(value)),
  inflight: ({ rules }, value) => (rules.inflightCountMax = countOf(value)),
  prevote: ({ rules }, value) => (rules.preVote = flagOf(value)),
  checkquorum: ({ rules }, value) => (rules.checkQuorum = flagOf(value)),
  "max-committed-size-per-ready": ({ rules }, value) => (rules.applyingBytesMax = countOf(value)),
  "disable-conf-change-validation": ({ rules }, value) => (rules.disableConfChangeValidation = flagOf(value)),
  "read-only": ({ rules }, value) => (rules.leaseBasedReads = isLeaseBased(value)),
  "step-down-on-removal": ({ rules }, value) => (rules.stepDownOnRemoval = flagOf(value)),
  // From here on: not in etcd-io/raft's vocabulary.
  "inflight-bytes": ({ rules }, value) => (rules.inflightBytesMax = countOf(value)),
  "max-message-size": ({ rules }, value) => (rules.messageBytesMax = countOf(value)),
  "max-uncommitted-size": ({ rules }, value) => (rules.uncommittedBytesMax = countOf(value)),
};

/** `add-nodes <count> [voters=(1,2)] [learners=(3)] [index=10] ...`: members with the next ids. @throws {MemberError} */
export function addNodes(environment: Environment, testCase: TraceCase): void {
  const start: Start = { voters: [], learners: [], index: 0, content: "", isAsync: false, rules: {} };
  for (const [key, value] of pairsOf(testCase)) {
    const apply = SETTINGS[key];
    if (apply === undefined) throw new TraceError(`unknown setting ${key}`);
    apply(start, value);
  }
  for (let count = firstId(testCase); count > 0n; count--) addNode(environment, start);
}

function addNode({ members, output }: Environment, start: Start): void {
  const { index, voters, learners, content } = start;
  const isBootstrap = index > 0 || voters.length > 0 || learners.length > 0 || content !== "";
  // An etcd-io/raft MemoryStorage cannot begin at 1, so traces never do.
  if (isBootstrap && index <= 1) throw new MemberError("index must be specified as > 1 due to bootstrap");
  const snapshot: SnapshotMeta = {
    index,
    term: isBootstrap ? 1 : 0,
    confState: { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false },
  };
  const storage = new StableStorage();
  if (isBootstrap) storage.applySnapshot(snapshot);
  const store = new MemoryEntryStore(index);
  const history = [snapshot];
  const logger: RaftLogger = {
    debug: (text) => output.log("DEBUG", text),
    info: (text) => output.log("INFO", text),
    warning: (text) => output.log("WARN", text),
    error: (text) => output.log("ERROR", text),
  };
  const core = createRaft({
    nodeId: BigInt(members.length + 1),
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    prng: new Prng(members.length + 1),
    store,
    baseIndex: index,
    baseTerm: snapshot.term,
    terms: [],
    hardState: { term: 0, vote: 0n, commit: index },
    confState: snapshot.confState,
    messageBytesMax: Infinity,
    inflightCountMax: 2 ** 31 - 1,
    snapshot: () => history[history.length - 1],
    logger,
    ...start.rules,
  });
  members.push(
    new TraceMember({ core, store, storage, history, electionTicks: ELECTION_TICKS, isAsync: start.isAsync }),
  );
}

function isLeaseBased(value: string): boolean {
  if (value !== "safe" && value !== "lease-based")
    throw new MemberError(`invalid read-only option "${value}"`);
  return value === "lease-based";
}
