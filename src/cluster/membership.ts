/**
 * Who belongs to the cluster, as applied from the log: members with their URLs and names, the removed ids, the cluster version.
 * Pure; the apply thread owns the one instance. It judges every committed conf change ({@link Membership.validate}), in the
 * order and with the outcome of etcd, since all members must come to the same verdict. Whatever changes is handed to a sink as
 * bucket writes in etcd's schema (`members`, `members_removed`, `cluster`, `meta/confState`).
 *
 * Read next: `reconfig.ts` (the checks before a change is proposed), `src/apply/membership-hook.ts` (who calls this).
 */

import { ErrorId } from "../base/errors.ts";
import { ConfChangeType } from "../proto/conf-change.ts";
import { type ConfStateIds, formatConfState, simpleConfState } from "./conf-state.ts";
import { formatId } from "./identity.ts";

/** One member, as etcd's membership JSON and `etcdserverpb.Member` have it. */
export interface Member {
  readonly id: bigint;
  /** Empty until the member has started once and told it. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/** Buckets of etcd's schema that hold the membership. */
export type MembershipBucket = "members" | "members_removed" | "cluster" | "meta";

/** Takes bucket writes that belong to the entry being applied. */
export interface BucketWriter {
  put(bucket: MembershipBucket, key: Uint8Array, value: Uint8Array): void;
  delete(bucket: MembershipBucket, key: Uint8Array): void;
}

const utf8 = new TextEncoder();
const CLUSTER_VERSION_KEY = utf8.encode("clusterVersion");
const DOWNGRADE_KEY = utf8.encode("downgrade");
const CONF_STATE_KEY = utf8.encode("confState");
const REMOVED = utf8.encode("removed");

/** A decoded conf change, with what its context says. */
export interface MemberChange {
  /** A ConfChangeType. */
  readonly type: number;
  readonly nodeId: bigint;
  /** Of the context; null for a removal. */
  readonly member: Member | null;
  /** The context promotes a learner: its type is then that of adding a voter. */
  readonly isPromote: boolean;
}

export class Membership {
  /** By id; iteration is in ascending id order after every change. */
  readonly members = new Map<bigint, Member>();
  /** Ids that have been members and can never be again. */
  readonly removed = new Set<bigint>();
  /** `major.minor.0`, or empty while undecided. */
  clusterVersion = "";
  /** Version that the cluster is being downgraded to, `major.minor.0`; empty = none. */
  downgradeTarget = "";

  /** Fills an empty membership from the buckets. Throws on entries that etcd could not read either. */
  restore(
    members: ReadonlyArray<{ value: Uint8Array }>,
    removed: ReadonlyArray<{ key: Uint8Array }>,
    clusterVersion: string,
    downgrade?: Uint8Array,
  ): void {
    for (const { value } of members) this.#set(parseMember(value));
    for (const { key } of removed) this.removed.add(BigInt(`0x${new TextDecoder().decode(key)}`));
    this.clusterVersion = clusterVersion;
    if (downgrade !== undefined) this.downgradeTarget = parseDowngrade(downgrade);
  }

  /**
   * Whether a committed change may be applied: an ErrorId, 0 = it may. An invalid one changes nothing on any member.
   * @param learnersMax `--max-learners`
   */
  validate(change: MemberChange, learnersMax: number): number {
    if (this.removed.has(change.nodeId)) return ErrorId.memberNotFound;
    const present = this.members.get(change.nodeId);
    switch (change.type) {
      case ConfChangeType.addNode:
      case ConfChangeType.addLearnerNode:
        if (!change.isPromote) return this.#validateAdd(change, learnersMax);
        if (present === undefined) return ErrorId.memberNotFound;
        return present.isLearner ? ErrorId.none : ErrorId.memberNotLearner;
      case ConfChangeType.removeNode:
        if (present === undefined) return ErrorId.memberNotFound;
        return this.#isLastVoter(present) ? ErrorId.memberNotEnoughStarted : ErrorId.none;
      default:
        if (present === undefined) return ErrorId.memberNotFound;
        return this.#urlsInUse(change) ? ErrorId.peerUrlExist : ErrorId.none;
    }
  }

  /** Applies a change that {@link validate} accepted. The change's member is kept. */
  apply(change: MemberChange, sink: BucketWriter): void {
    const present = this.members.get(change.nodeId);
    if (change.type === ConfChangeType.removeNode) this.#remove(change.nodeId, sink);
    else if (change.member === null) return;
    else if (present === undefined) {
      // What votes is what raft counts, and raft goes by the type.
      const isLearner = change.type === ConfChangeType.addLearnerNode;
      this.#change({ ...change.member, isLearner }, sink);
    } else if (change.isPromote) this.#change({ ...present, isLearner: false }, sink);
    else this.#change({ ...present, peerUrls: change.member.peerUrls }, sink);
    sink.put("meta", CONF_STATE_KEY, utf8.encode(formatConfState(this.confState())));
  }

  /** The configuration that raft has when it applied the same changes. */
  confState(): ConfStateIds {
    const members = [...this.members.values()];
    return simpleConfState(
      members.filter((member) => !member.isLearner).map(({ id }) => id),
      members.filter((member) => member.isLearner).map(({ id }) => id),
    );
  }

  /** The member published its name and client URLs. False, and nothing happens, if there is no such member. */
  setAttributes(id: bigint, name: string, clientUrls: readonly string[], sink: BucketWriter): boolean {
    const member = this.members.get(id);
    if (member === undefined) return false;
    this.#change({ ...member, name, clientUrls }, sink);
    return true;
  }

  setClusterVersion(version: string, sink: BucketWriter): void {
    this.clusterVersion = version;
    sink.put("cluster", CLUSTER_VERSION_KEY, utf8.encode(version));
  }

  /** A downgrade to `target` begins, or (empty) the one under way ends. */
  setDowngrade(target: string, sink: BucketWriter): void {
    this.downgradeTarget = target;
    const value = JSON.stringify({ "target-version": target, enabled: target !== "" });
    sink.put("cluster", DOWNGRADE_KEY, utf8.encode(value));
  }

  /** What other threads are told; `index` is the applied one. */
  report(index: number): MembershipReport {
    return {
      index,
      members: [...this.members.values()].map((member) => ({ ...member, id: formatId(member.id) })),
      removed: [...this.removed].map(formatId),
      clusterVersion: this.clusterVersion,
      downgradeTarget: this.downgradeTarget,
    };
  }

  #validateAdd(change: MemberChange, learnersMax: number): number {
    if (this.members.has(change.nodeId)) return ErrorId.memberExist;
    if (this.#urlsInUse(change)) return ErrorId.peerUrlExist;
    if (change.type !== ConfChangeType.addLearnerNode || change.member?.isLearner !== true)
      return ErrorId.none;
    return this.confState().learners.length < learnersMax ? ErrorId.none : ErrorId.tooManyLearners;
  }

  /**
   * Without it raft could not go on, here and after every restart: etcd's members end at such an entry. Main refuses to propose it, but
   * two voters that are each told to remove the other both do.
   */
  #isLastVoter({ isLearner }: Member): boolean {
    return !isLearner && this.confState().voters.length === 1;
  }

  /** True if a peer URL of the change belongs to another member. */
  #urlsInUse({ nodeId, member }: MemberChange): boolean {
    const urls = new Set(member?.peerUrls);
    return [...this.members.values()].some(
      (other) => other.id !== nodeId && other.peerUrls.some((url) => urls.has(url)),
    );
  }

  #remove(id: bigint, sink: BucketWriter): void {
    this.members.delete(id);
    this.removed.add(id);
    const key = utf8.encode(formatId(id));
    sink.delete("members", key);
    sink.put("members_removed", key, REMOVED);
  }

  #change(member: Member, sink: BucketWriter): void {
    this.#set(member);
    sink.put("members", utf8.encode(formatId(member.id)), utf8.encode(formatMember(member)));
  }

  #set(member: Member): void {
    this.members.set(member.id, member);
    const sorted = [...this.members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    this.members.clear();
    for (const each of sorted) this.members.set(each.id, each);
  }
}

/** The JSON of a member with etcd's keys and order; the id is a raw 64-bit number. */
export function formatMember(member: Member): string {
  const parts = [`"id":${member.id}`, `"peerURLs":${JSON.stringify(member.peerUrls)}`];
  if (member.isLearner) parts.push(`"isLearner":true`);
  if (member.name !== "") parts.push(`"name":${JSON.stringify(member.name)}`);
  if (member.clientUrls.length > 0) parts.push(`"clientURLs":${JSON.stringify(member.clientUrls)}`);
  return `{${parts.join(",")}}`;
}

/** Reads {@link formatMember}'s JSON; keeps the 64-bit id exact. Throws SyntaxError on bad JSON. */
export function parseMember(json: Uint8Array): Member {
  return memberOf(parseRaw(json));
}

/**
 * Reads the context of a conf change. Throws when it is no JSON, or of another member than the change: then the log is not one
 * that etcd could apply.
 */
export function parseMemberChange(type: number, nodeId: bigint, context: Uint8Array): MemberChange {
  if (type === ConfChangeType.removeNode) return { type, nodeId, member: null, isPromote: false };
  const raw = parseRaw(context);
  const member = memberOf(raw);
  if (member.id !== nodeId)
    throw new Error(`a change of member ${formatId(nodeId)} describes ${formatId(member.id)}`);
  return { type, nodeId, member, isPromote: raw.isPromote === true };
}

/** The context of a conf change that promotes a learner. */
export function formatPromotion(id: bigint): string {
  return `{"id":${id},"peerURLs":null,"isPromote":true}`;
}

interface RawMember {
  readonly id?: string;
  readonly name?: string;
  readonly peerURLs?: readonly string[] | null;
  readonly clientURLs?: readonly string[] | null;
  readonly isLearner?: boolean;
  readonly isPromote?: boolean;
}

function parseRaw(json: Uint8Array): RawMember {
  const text = new TextDecoder().decode(json);
  // The id is a bare 64-bit number, which JSON.parse would round: quote it first.
  return JSON.parse(text.replace(/("id"\s*:\s*)(\d+)/, '$1"$2"')) as RawMember;
}

function memberOf(raw: RawMember): Member {
  return {
    id: BigInt(raw.id ?? 0),
    name: raw.name ?? "",
    peerUrls: raw.peerURLs ?? [],
    clientUrls: raw.clientURLs ?? [],
    isLearner: raw.isLearner ?? false,
  };
}

/** The target in the JSON of key `downgrade`; empty unless one is enabled. */
function parseDowngrade(json: Uint8Array): string {
  const raw = JSON.parse(new TextDecoder().decode(json)) as { "target-version"?: string; enabled?: boolean };
  return raw.enabled === true ? (raw["target-version"] ?? "") : "";
}

/** JSON of the `membership` record. Ids are lower-case hex. */
export interface MembershipReport {
  /** The applied index that it belongs to. */
  readonly index: number;
  readonly members: ReadonlyArray<{
    readonly id: string;
    readonly name: string;
    readonly peerUrls: readonly string[];
    readonly clientUrls: readonly string[];
    readonly isLearner: boolean;
  }>;
  readonly removed: readonly string[];
  /** `major.minor.0`, or empty while undecided. */
  readonly clusterVersion: string;
  /** As in {@link Membership}. */
  readonly downgradeTarget: string;
}

/** Reads a {@link MembershipReport}. */
export function parseMembershipReport(json: Uint8Array): MembershipReport {
  return JSON.parse(new TextDecoder().decode(json)) as MembershipReport;
}

/** The members of a report, by ascending id. */
export function membersOfReport(report: MembershipReport): Member[] {
  return report.members.map((member) => ({ ...member, id: BigInt(`0x${member.id}`) }));
}
