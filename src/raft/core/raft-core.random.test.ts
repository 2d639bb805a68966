import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../base/prng.ts";
import { EntryType, MessageType } from "../raft.ts";
import type { HardState, RaftMessage, SnapshotMeta } from "../raft.ts";
import { MemoryEntryStore } from "./memory-entry-store.ts";
import type { MemoryEntry } from "./memory-entry-store.ts";
import { createRaft } from "./raft-core.ts";
import type { RaftCore } from "./raft-core.ts";

const SEEDS = 40;
const ROUNDS = 400;
/** Enough for an election and to bring everybody up to date. */
const CALM_ROUNDS = 200;
/** How long one member, or none, is cut off from the others. */
const CUT_ROUNDS = 40;
/** Applied entries that stay in the log when it is compacted. */
const ENTRIES_KEPT = 5;
const VOTERS = [1n, 2n, 3n];
const CONF_STATE = { voters: VOTERS, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };

/** What a disk holds. */
interface Durable {
  readonly hardState: HardState;
  readonly baseIndex: number;
  readonly baseTerm: number;
  readonly entries: readonly MemoryEntry[];
}

/** A write under way: what the disk holds when it has ended, and what is to be said then. */
interface Flight {
  readonly durable: Durable;
  readonly last: { readonly index: number; readonly term: number; readonly memberTerm: number };
  readonly snapshot: SnapshotMeta | null;
  readonly promises: readonly RaftMessage[];
}

interface Member {
  core: RaftCore;
  store: MemoryEntryStore;
  durable: Durable;
  flight: Flight | null;
  /** Waits for the next flight. */
  snapshot: SnapshotMeta | null;
  promises: RaftMessage[];
  /** Compared with the others up to here. */
  checked: number;
}

const NOTHING: Durable = {
  hardState: { term: 0, vote: 0n, commit: 0 },
  baseIndex: 0,
  baseTerm: 0,
  entries: [],
};

/** Three members that crash and compact their logs, whose messages are lost and reordered, and whose disks take their time. */
class RandomCluster {
  readonly #seed: number;
  readonly #prng: Prng;
  readonly #members: readonly Member[];
  #network: RaftMessage[] = [];
  /** Nothing is lost any more, and nothing proposed. */
  #isCalm = false;
  #cutOff = 0n;
  readonly #leaders = new Map<number, bigint>();
  /** Committed entries as first seen. */
  readonly #committed: string[] = [];
  snapshotCount = 0;

  constructor(seed: number) {
    this.#seed = seed;
    this.#prng = new Prng(seed);
    this.#members = VOTERS.map((id) => {
      const fresh = { flight: null, snapshot: null, promises: [], checked: 0 };
      return { ...fresh, ...this.#boot(id, NOTHING), durable: NOTHING };
    });
  }

  run(): void {
    for (let round = 0; round < ROUNDS; round++) this.#round(round);
    this.#isCalm = true;
    this.#cutOff = 0n;
    for (let round = 0; round < CALM_ROUNDS; round++) this.#round(round);
  }

  /** Terms that had a leader. */
  get termCount(): number {
    return this.#leaders.size;
  }

  /** The commit index of all members in the end. */
  agreed(): number {
    const indexes = this.#members.map(({ core }) => core.commitIndex);
    for (const index of indexes) assert.equal(index, indexes[0]);
    return indexes[0];
  }

  #boot(nodeId: bigint, durable: Durable): { core: RaftCore; store: MemoryEntryStore } {
    const { baseIndex, baseTerm, entries, hardState } = durable;
    const store = new MemoryEntryStore(baseIndex, entries);
    const seed = this.#seed;
    const core = createRaft({
      nodeId,
      electionTicks: 10,
      heartbeatTicks: 2,
      prng: this.#prng,
      store,
      baseIndex,
      baseTerm,
      terms: entries.map(({ term }) => term),
      hardState,
      confState: CONF_STATE,
      preVote: seed % 2 === 0,
      checkQuorum: seed % 3 === 0,
      messageBytesMax: 50,
      inflightCountMax: 4,
      deferAppends: seed % 4 !== 0,
      deferNewsAcks: seed % 3 !== 0,
    });
    core.start();
    return { core, store };
  }

  #round(round: number): void {
    const prng = this.#prng;
    if (!this.#isCalm && round % CUT_ROUNDS === 0) this.#cutOff = prng.pick([0n, ...VOTERS]);
    for (const member of this.#members) {
      if (!this.#isCalm && prng.chance(0.01)) this.#crash(member);
      if (prng.chance(this.#isCalm ? 1 : 0.7)) member.core.tick();
      const data = new TextEncoder().encode(`member ${member.core.nodeId} round ${round}`);
      if (!this.#isCalm && prng.chance(0.3)) member.core.propose(EntryType.normal, data, 0, data.length);
      this.#takeReady(member);
      if (prng.chance(this.#isCalm ? 1 : 0.5)) this.#finishFlight(member);
      if (prng.chance(0.05)) compact(member);
    }
    this.#deliver();
    for (const member of this.#members) this.#check(member);
  }

  /** All that the disk does not hold is gone. */
  #crash(member: Member): void {
    Object.assign(member, this.#boot(member.core.nodeId, member.durable));
    member.flight = null;
    member.snapshot = null;
    member.promises = [];
    member.checked = Math.min(member.checked, member.core.commitIndex);
  }

  #takeReady(member: Member): void {
    const { core } = member;
    if (core.hasReady()) {
      const ready = core.ready();
      this.#network.push(...ready.messages);
      member.promises.push(...ready.messagesAfterFlush);
      member.snapshot = ready.snapshot ?? member.snapshot;
      core.advance();
    }
    if (member.flight !== null) return;
    member.flight = startFlight(member);
    member.promises = [];
    member.snapshot = null;
  }

  #finishFlight(member: Member): void {
    const { core, flight } = member;
    if (flight === null) return;
    member.flight = null;
    member.durable = flight.durable;
    const { index, term, memberTerm } = flight.last;
    if (index > 0) core.entriesStored(index, term, memberTerm);
    if (flight.snapshot !== null) {
      this.snapshotCount++;
      core.snapshotInstalled(flight.snapshot.index);
    }
    for (const message of flight.promises) {
      if (message.to === core.nodeId) core.step(message);
      else this.#network.push(message);
    }
  }

  #deliver(): void {
    const queued = this.#network;
    this.#network = [];
    for (const message of queued) {
      const isCut = message.from === this.#cutOff || message.to === this.#cutOff;
      const isLost = isCut || (!this.#isCalm && this.#prng.chance(0.15));
      if (!isLost && !this.#isCalm && this.#prng.chance(0.2)) {
        this.#network.push(message);
        continue;
      }
      if (!isLost) this.#coreOf(message.to).step(message);
      // The transport knows whether a snapshot arrived, not what becomes of it there.
      if (message.type === MessageType.snap) this.#coreOf(message.from).reportSnapshot(message.to, !isLost);
    }
  }

  #coreOf(id: bigint): RaftCore {
    return this.#members[Number(id) - 1].core;
  }

  #check(member: Member): void {
    const { core, store, checked } = member;
    if (core.isLeader) {
      const other = this.#leaders.get(core.term);
      assert.ok(other === undefined || other === core.nodeId, `two leaders of term ${core.term}`);
      this.#leaders.set(core.term, core.nodeId);
    }
    member.checked = core.commitIndex;
    const first = Math.max(checked + 1, store.firstIndex);
    if (first > core.commitIndex) return;
    for (const { index, term, data } of store.entries(first, core.commitIndex)) {
      const entry = `${term} ${new TextDecoder().decode(data)}`;
      assert.equal(entry, (this.#committed[index] ??= entry), `index ${index} of member ${core.nodeId}`);
    }
  }
}

function startFlight({ core, store, promises, snapshot }: Member): Flight {
  const { lastIndex: index, term: memberTerm } = core;
  const baseIndex = store.firstIndex - 1;
  const entries = index > baseIndex ? store.entries(store.firstIndex, index) : [];
  const hardState = { term: core.term, vote: core.vote, commit: core.commitIndex };
  const durable = { hardState, baseIndex, baseTerm: core.termAt(baseIndex), entries };
  return { durable, last: { index, term: core.termAt(index), memberTerm }, snapshot, promises };
}

function compact({ core, store }: Member): void {
  if (core.log.hasPendingSnapshot) return;
  core.applied(core.commitIndex);
  store.compact(Math.max(core.commitIndex - ENTRIES_KEPT, store.firstIndex - 1));
  core.compacted(store.firstIndex - 1);
}

void test("members agree whatever crashes, is lost, comes late or is compacted away", () => {
  let commits = 0;
  let terms = 0;
  let snapshots = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const cluster = new RandomCluster(seed);
    try {
      cluster.run();
      commits += cluster.agreed();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    terms += cluster.termCount;
    snapshots += cluster.snapshotCount;
  }
  assert.ok(commits > SEEDS * 40, "little was committed");
  assert.ok(terms > SEEDS * 2, "too few leaders were unseated");
  assert.ok(snapshots > SEEDS, "too few snapshots were sent");
});
