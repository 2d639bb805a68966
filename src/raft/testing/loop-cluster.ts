/** Several members' raft loops in one process: rings and disks in memory, a network of direct calls, ticks by hand. */

import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Prng } from "../../base/prng.ts";
import { MemoryRing } from "../../ring/memory-ring.ts";
import { RecordType } from "../../ring/record-types.ts";
import { MemoryFileSystem } from "../../wal/memory-file-system.ts";
import { createWal, openWal } from "../../wal/open-wal.ts";
import type { Wal } from "../../wal/wal.ts";
import { BOOTSTRAP_TERM, bootstrapHardState, encodeBootstrapEntries } from "../bootstrap.ts";
import { copySlices } from "../core/entry-slices.ts";
import type { PeerEvents, PeerNetwork } from "../peer-network.ts";
import type { RaftLoop } from "../raft-loop.ts";
import { EntryType, type RaftMessage, type SnapshotMeta } from "../raft.ts";
import type { SnapshotFile, SnapshotService } from "../snapshot-service.ts";
import { startRaftLoop } from "../start-raft-loop.ts";

const DIRECTORY = "/data/wal";
const RING_BYTES = 1 << 20;
const SEGMENT_BYTES = 256 * 1024;
/** Turns of the event loop in which messages, flushes and answers of one tick come to rest. */
const SETTLE_TURNS = 16;
export const ELECTION_TICKS = 10;
const NO_DOORBELL = { prepareSleep: () => 0, awake: () => {}, sleepAsync: () => new Promise(() => {}) };

export interface TestMemberOptions {
  readonly snapshotCount?: number;
  readonly catchUpEntries?: number;
}

/** One member: what its apply thread and its main thread would see, and switches for its disk. */
export class LoopMember implements PeerNetwork, SnapshotService {
  readonly id: bigint;
  readonly cluster: LoopCluster;
  readonly fileSystem: MemoryFileSystem;
  readonly options: TestMemberOptions;
  readonly fromMain = new MemoryRing(RING_BYTES);
  readonly fromWorkers = new MemoryRing(RING_BYTES);
  readonly toApply = new MemoryRing(RING_BYTES);
  readonly toMain = new MemoryRing(RING_BYTES);
  /** What apply got: data of normal entries with their index, and reads. */
  readonly applied: string[] = [];
  readonly errors: string[] = [];
  readonly logs: string[] = [];
  readonly installed: number[] = [];
  readonly discarded: number[] = [];
  appliedIndex = 0;
  appliedTerm = 0;
  isRemoved = false;
  appendsPaused = false;
  snapshotsMade = 0;
  /** Index of the snapshot that is made and not yet released. */
  lentSnapshot = 0;
  /** Apply finds conf changes valid. */
  approves = true;
  /** Apply takes so long over conf changes that it has answered none of these; it does before a snapshot is installed. */
  heldVerdicts: number[] | null = null;
  events!: PeerEvents;
  loop!: RaftLoop;
  wal!: Wal;

  constructor(cluster: LoopCluster, id: bigint, fileSystem: MemoryFileSystem, options: TestMemberOptions) {
    this.cluster = cluster;
    this.id = id;
    this.fileSystem = fileSystem;
    this.options = options;
    this.toApply.onPublish = () => this.#apply();
    this.toMain.onPublish = () => this.#readMain();
  }

  /** Starts, with storage that holds everything up to `appliedIndex`. */
  async start(
    voters: readonly bigint[],
    appliedIndex: number,
    keptBefore = 0,
    learners: readonly bigint[] = [],
  ): Promise<void> {
    const { wal, contents } = await openWal(DIRECTORY, appliedIndex, {
      fileSystem: this.fileSystem,
      segmentBytes: SEGMENT_BYTES,
      keptBefore,
    });
    this.wal = wal;
    this.appliedIndex = appliedIndex;
    this.loop = startRaftLoop({
      nodeId: this.id,
      contents: {
        ...contents,
        storage: wal,
        appliedTerm: contents.afterTerm,
        snapshotIndex: contents.snapshots.at(-1)?.index ?? 0,
      },
      confState: { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false },
      election: { electionTicks: ELECTION_TICKS, preVote: true, prng: new Prng(Number(this.id)) },
      createNetwork: (events) => {
        this.events = events;
        return this;
      },
      snapshots: this,
      appliedIndex,
      snapshotCount: this.options.snapshotCount ?? 10_000,
      catchUpEntries: this.options.catchUpEntries ?? 5000,
      firstReadNumber: 1,
      tickMs: 100,
      fromMain: this.fromMain,
      fromWorkers: [this.fromWorkers],
      toApply: this.toApply,
      toMain: this.toMain,
      doorbell: NO_DOORBELL,
      callAfter: (_milliseconds, callback) => setImmediate(callback),
      yieldToEvents: () => nextTurn(),
      onRemoved: () => (this.isRemoved = true),
      log: (_level, message) => this.logs.push(message),
    });
    this.loop.done.catch(() => {});
  }

  get isLeader(): boolean {
    return this.loop.consensus.isLeader;
  }

  /** A record of main. */
  tell(type: number, requestId: number, payload: string | Uint8Array = ""): void {
    const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
    assert.ok(this.fromMain.write(type, 0, requestId, bytes, 0, bytes.length), "inbox full");
    this.fromMain.publish();
    this.loop.pump();
  }

  /** Storage has committed everything up to `index`. */
  commitStorage(index = this.appliedIndex): void {
    this.fromWorkers.write(RecordType.committed, 0, index, new Uint8Array(0), 0, 0);
    this.fromWorkers.publish();
    this.loop.pump();
  }

  /** Writes of the disk wait until the returned function is called. */
  holdDisk(): () => void {
    const gate = Promise.withResolvers<void>();
    this.fileSystem.beforeWrite = () => gate.promise;
    return () => {
      this.fileSystem.beforeWrite = null;
      gate.resolve();
    };
  }

  send(messages: readonly RaftMessage[]): void {
    for (const message of messages) this.cluster.carry(this.id, message);
  }

  sendSnapshot(message: RaftMessage, file: SnapshotFile): void {
    assert.deepEqual(message.snapshot, file.meta);
    this.cluster.carry(this.id, message);
    setImmediate(() => this.events.snapshotStatus(message.to, this.cluster.isLinked(this.id, message.to)));
  }

  setMembership(): void {}

  activeSinceMs(id: bigint): number {
    return this.cluster.isLinked(this.id, id) ? 1 : 0;
  }

  respond(): void {}

  pauseAppends(paused: boolean): void {
    this.appendsPaused = paused;
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  create(): Promise<SnapshotFile> {
    assert.equal(this.lentSnapshot, 0, "one snapshot at a time");
    this.snapshotsMade++;
    this.lentSnapshot = this.appliedIndex;
    const { confState } = this.loop.consensus;
    const meta = { index: this.appliedIndex, term: this.appliedTerm, confState };
    return Promise.resolve({ meta, data: new Uint8Array(0), path: "", bytes: 0 });
  }

  release(): void {
    this.lentSnapshot = 0;
  }

  install({ index }: SnapshotMeta): Promise<void> {
    // What lay in apply's ring comes first.
    for (const held of this.heldVerdicts?.splice(0) ?? []) this.#tellVerdict(held);
    this.loop.pump();
    this.installed.push(index);
    this.appliedIndex = index;
    return Promise.resolve();
  }

  discard({ index }: SnapshotMeta): void {
    this.discarded.push(index);
  }

  #apply(): void {
    this.toApply.drain((type, _flags, requestId, bytes, start, end) => {
      const text = (from: number): string => new TextDecoder().decode(bytes.subarray(from, end));
      if (type === RecordType.read) this.applied.push(`read ${text(start)}`);
      if (type !== RecordType.entry) return;
      assert.equal(requestId, this.appliedIndex + 1, "entries come in order");
      const view = new DataView(bytes.buffer, bytes.byteOffset + start);
      this.appliedIndex = requestId;
      this.appliedTerm = view.getFloat64(0, true);
      if (view.getUint32(8, true) !== EntryType.normal) this.#answerConfChange(requestId);
      else if (end > start + 16) this.applied.push(`${requestId} ${text(start + 16)}`);
    }, 1e6);
  }

  #answerConfChange(index: number): void {
    this.applied.push(`${index} conf change`);
    if (this.heldVerdicts !== null) {
      this.heldVerdicts.push(index);
      return;
    }
    this.#tellVerdict(index);
    setImmediate(() => this.loop.pump());
  }

  #tellVerdict(index: number): void {
    const answer = Uint8Array.of(this.approves ? 1 : 0, 0, 0, 0);
    this.fromWorkers.write(RecordType.confChangeResult, 0, index, answer, 0, 4);
    this.fromWorkers.publish();
  }

  #readMain(): void {
    this.toMain.drain((type, _flags, requestId, bytes, start, end) => {
      if (type === RecordType.error) this.errors.push(`${requestId} ${bytes[start]}`);
      if (type === RecordType.response)
        this.errors.push(`${requestId} ${new TextDecoder().decode(bytes.subarray(start, end))}`);
    }, 1e6);
  }
}

export class LoopCluster {
  readonly members = new Map<bigint, LoopMember>();
  readonly #cut = new Set<string>();
  /** Messages for which it returns true are lost. */
  drops: (message: RaftMessage) => boolean = () => false;

  /** Members 1 to `count`, whose storage holds the founding entries already. */
  static async found(count: number, options: TestMemberOptions = {}): Promise<LoopCluster> {
    const cluster = new LoopCluster();
    const ids = Array.from({ length: count }, (_, i) => BigInt(i + 1));
    const data = encodeBootstrapEntries(ids.map((id) => ({ id, name: `m${id}`, peerUrls: [] })));
    const founding = data.map((entry) => ({
      type: EntryType.confChange,
      term: BOOTSTRAP_TERM,
      data: entry,
    }));
    for (const id of ids) {
      const fileSystem = new MemoryFileSystem();
      const hardState = bootstrapHardState(count);
      const wal = await createWal(
        DIRECTORY,
        { nodeId: id, clusterId: 1n },
        { fileSystem, founding, hardState, segmentBytes: SEGMENT_BYTES },
      );
      await wal.close();
      cluster.members.set(id, new LoopMember(cluster, id, fileSystem, options));
      await cluster.member(id).start(ids, count);
    }
    return cluster;
  }

  /** A member with an empty log, that others are to add. */
  async join(id: bigint, options: TestMemberOptions = {}): Promise<LoopMember> {
    const fileSystem = new MemoryFileSystem();
    const wal = await createWal(
      DIRECTORY,
      { nodeId: id, clusterId: 1n },
      { fileSystem, segmentBytes: SEGMENT_BYTES },
    );
    await wal.close();
    const member = new LoopMember(this, id, fileSystem, options);
    this.members.set(id, member);
    await member.start([], 0);
    return member;
  }

  /** Ends a member as a stop of its process would, and starts it again on the same disk. */
  async restart(id: bigint, voters: readonly bigint[], keptBefore: number): Promise<LoopMember> {
    const old = this.member(id);
    await old.loop.stop();
    return this.startAgain(old, voters, keptBefore);
  }

  /** Starts a member on the disk of another life; of one that was not stopped, it is as after a kill. */
  async startAgain(
    old: LoopMember,
    voters: readonly bigint[],
    keptBefore: number,
    learners: readonly bigint[] = [],
  ): Promise<LoopMember> {
    const { id } = old;
    const member = new LoopMember(this, id, old.fileSystem, old.options);
    this.members.set(id, member);
    await member.start(voters, old.appliedIndex, keptBefore, learners);
    return member;
  }

  member(id: bigint | number): LoopMember {
    return this.members.get(BigInt(id)) as LoopMember;
  }

  get leader(): LoopMember {
    const leaders = [...this.members.values()].filter(({ isLeader }) => isLeader);
    leaders.sort((a, b) => b.loop.consensus.term - a.loop.consensus.term);
    assert.ok(leaders.length > 0, "nobody leads");
    return leaders[0];
  }

  get followers(): LoopMember[] {
    const { leader } = this;
    return [...this.members.values()].filter((member) => member !== leader);
  }

  isLinked(from: bigint, to: bigint): boolean {
    return this.members.has(to) && !this.#cut.has(`${from}-${to}`) && !this.#cut.has(`${to}-${from}`);
  }

  cut(a: LoopMember, b: LoopMember): void {
    this.#cut.add(`${a.id}-${b.id}`);
  }

  isolate(member: LoopMember): void {
    for (const other of this.members.values()) this.cut(member, other);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Carries a copy, in the next turn; the sender's bytes are borrowed. */
  carry(from: bigint, message: RaftMessage): void {
    if (!this.isLinked(from, message.to) || this.drops(message)) return;
    const copy = { ...message, entries: copySlices(message.entries) };
    setImmediate(() => this.members.get(message.to)?.events.receive(copy));
  }

  /** Lets everything that is under way end. Disks that are held stay held. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < SETTLE_TURNS; turn++) {
      await nextTurn();
      for (const member of this.members.values()) member.loop.pump();
    }
  }

  /** Ticks all members (or these) so often, and lets what follows from each tick happen. */
  async tick(count = 1, members: Iterable<LoopMember> = this.members.values()): Promise<void> {
    const ticked = [...members];
    for (let i = 0; i < count; i++) {
      for (const member of ticked) member.loop.tick();
      await this.settle();
    }
  }

  /** Ticks until somebody leads and all have heard of it. */
  async elect(): Promise<LoopMember> {
    for (let ticks = 0; ticks < 10 * ELECTION_TICKS; ticks++) {
      await this.tick();
      const leader = [...this.members.values()].find(({ isLeader }) => isLeader);
      if (leader !== undefined) return leader;
    }
    throw new Error("nobody was elected");
  }
}
