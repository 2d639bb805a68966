/** What main knows of the other threads' state: copies of the last status records. The router feeds it, everybody in main reads it. */

import { viewOf } from "../base/bytes.ts";
import { type AlarmMember, decodeAlarms } from "../apply/alarms.ts";
import { type Member, membersOfReport, parseMembershipReport } from "../cluster/membership.ts";
import { RecordType } from "../ring/record-types.ts";
import type { CompactionHash } from "./corruption-check.ts";

/** etcd's number. */
const COMPACTION_HASHES_MAX = 10;

export class MemberStatus {
  readonly memberId: bigint;
  term = 0;
  /** 0n while no leader is known. */
  leaderId = 0n;
  isLeader = false;
  leaderChanges = 0;
  /** When the newest leader became known, in ms of performance.now(). */
  leaderElectedMs = -Infinity;
  commitIndex = 0;
  lastIndex = 0;
  appliedIndex = 0;
  revision = 1;
  compactRevision = -1;
  /** Bytes of the database file. */
  dbBytes = 0;
  /** Bytes of it that hold data. */
  dbInUseBytes = 0;
  /** Consistent index that storage holds durably. */
  durableIndex = 0;
  /** Requests that got no answer in time; what apply refuses is an answer. */
  proposalsFailed = 0;
  /** Expired leases that this member's lessor, the primary, handed out for revocation. */
  leasesExpired = 0;
  /** As applied, by ascending id. Empty until the first entry of a new member. */
  members: readonly Member[] = [];
  /** `major.minor.0` as applied, or empty while undecided. */
  clusterVersion = "";
  /** Version that the cluster is being downgraded to, `major.minor.0`; empty = none. */
  downgradeTarget = "";
  /** This member does not vote. */
  isLearner = false;
  /** As applied, by type and member. */
  alarms: readonly AlarmMember[] = [];
  /** Entries were applied that took more than the quota allows, and no alarm said so, so many times. */
  spaceExceeded = 0;
  /** What the last of them took. */
  spaceExceededBytes = 0;
  /** Hashes of the newest compactions, oldest first; empty unless they are computed (feature gate CompactHashCheck). */
  compactionHashes: readonly CompactionHash[] = [];
  /** Called when the leader or the membership has changed. */
  readonly listeners = new Set<() => void>();
  /** Called when the alarms, the size of the database or {@link spaceExceeded} may have changed. */
  readonly spaceListeners = new Set<() => void>();
  /** Called when {@link isDefragmenting} has changed. */
  readonly defragmentListeners = new Set<() => void>();
  #isDefragmenting = false;

  constructor(memberId: bigint) {
    this.memberId = memberId;
  }

  /** The database is being defragmented. */
  get isDefragmenting(): boolean {
    return this.#isDefragmenting;
  }

  /** It is, or is not any more. */
  noteDefragmenting(isDefragmenting: boolean): void {
    if (isDefragmenting === this.#isDefragmenting) return;
    this.#isDefragmenting = isDefragmenting;
    for (const listener of this.defragmentListeners) listener();
  }

  /** The member of this id, if there is one. */
  member(id: bigint): Member | undefined {
    return this.members.find((member) => member.id === id);
  }

  /** Resolves with `true` when `condition` holds, now or after a change of leader or membership; with `false` after `timeoutMs`. */
  until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const end = (value: boolean): void => {
      clearTimeout(timer);
      this.listeners.delete(check);
      resolve(value);
    };
    const check = (): void => {
      if (condition()) end(true);
    };
    const timer = timeoutMs === Infinity ? undefined : setTimeout(() => end(false), timeoutMs);
    this.listeners.add(check);
    return promise;
  }

  /** Takes a status record; false if it is none. */
  take(type: number, id: number, bytes: Uint8Array, start: number, end: number): boolean {
    const view = viewOf(bytes);
    const at = bytes.byteOffset + start;
    switch (type) {
      case RecordType.leader:
        this.#takeLeader(view, at);
        return true;
      case RecordType.raftStatus:
        this.commitIndex = view.getFloat64(at, true);
        this.lastIndex = view.getFloat64(at + 8, true);
        this.term = view.getFloat64(at + 16, true);
        return true;
      case RecordType.applyStatus:
        this.appliedIndex = view.getFloat64(at, true);
        this.revision = view.getFloat64(at + 8, true);
        this.compactRevision = view.getFloat64(at + 16, true);
        return true;
      case RecordType.committed:
        this.durableIndex = id;
        this.dbBytes = view.getFloat64(at + 16, true);
        this.dbInUseBytes = view.getFloat64(at + 24, true);
        this.#notifySpace();
        return true;
      case RecordType.alarms:
        this.alarms = decodeAlarms(new Uint8Array(bytes.subarray(start, end)));
        this.#notifySpace();
        return true;
      case RecordType.compactionHash:
        this.#takeCompactionHash(view, at);
        return true;
      case RecordType.spaceExceeded:
        this.spaceExceeded++;
        this.spaceExceededBytes = view.getFloat64(at, true);
        this.#notifySpace();
        return true;
      case RecordType.membership:
        this.#takeMembership(bytes.subarray(start, end));
        return true;
      default:
        return false;
    }
  }

  #takeCompactionHash(view: DataView, at: number): void {
    const hash = {
      revision: view.getFloat64(at, true),
      compactRevision: view.getFloat64(at + 8, true),
      hash: view.getFloat64(at + 16, true),
    };
    this.compactionHashes = [...this.compactionHashes, hash].slice(-COMPACTION_HASHES_MAX);
  }

  #takeLeader(view: DataView, at: number): void {
    const leaderId = view.getBigUint64(at + 8, true);
    if (leaderId !== this.leaderId && leaderId !== 0n) {
      this.leaderChanges++;
      this.leaderElectedMs = performance.now();
    }
    this.term = view.getFloat64(at, true);
    this.leaderId = leaderId;
    this.isLeader = view.getUint32(at + 16, true) === 1;
    this.#notify();
  }

  #takeMembership(json: Uint8Array): void {
    const report = parseMembershipReport(new Uint8Array(json));
    this.members = membersOfReport(report);
    this.clusterVersion = report.clusterVersion;
    this.downgradeTarget = report.downgradeTarget;
    this.isLearner = this.member(this.memberId)?.isLearner ?? false;
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.listeners) listener();
  }

  #notifySpace(): void {
    for (const listener of this.spaceListeners) listener();
  }
}
