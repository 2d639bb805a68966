/**
 * Who belongs to the cluster, as applied from the log: members with their URLs and names, the removed ids, the cluster version.
 * Pure; the apply thread owns the one instance. Whatever changes is handed to a sink as bucket writes in etcd's schema
 * (buckets `members`, `members_removed`, `cluster`).
 */

import { formatId } from "./identity.ts";

/** One member, as etcd's membership JSON and `etcdserverpb.Member` have it. */
export interface Member {
  readonly id: bigint;
  name: string;
  peerUrls: readonly string[];
  clientUrls: readonly string[];
  isLearner: boolean;
}

/** Buckets of etcd's schema that hold the membership. */
export type MembershipBucket = "members" | "members_removed" | "cluster";

/** Takes bucket writes that belong to the entry being applied. */
export interface BucketWriter {
  put(bucket: MembershipBucket, key: Uint8Array, value: Uint8Array): void;
  delete(bucket: MembershipBucket, key: Uint8Array): void;
}

const utf8 = new TextEncoder();
const CLUSTER_VERSION_KEY = utf8.encode("clusterVersion");

export class Membership {
  /** By id; iteration is in ascending id order after every change. */
  readonly members = new Map<bigint, Member>();
  readonly removed = new Set<bigint>();
  /** `major.minor.0`, or empty while undecided. */
  clusterVersion = "";

  /** Fills an empty membership from the buckets. Throws on entries that etcd could not read either. */
  restore(
    members: ReadonlyArray<{ value: Uint8Array }>,
    removed: ReadonlyArray<{ key: Uint8Array }>,
    clusterVersion: string,
  ): void {
    for (const { value } of members) this.#set(parseMember(value));
    for (const { key } of removed) this.removed.add(BigInt(`0x${new TextDecoder().decode(key)}`));
    this.clusterVersion = clusterVersion;
  }

  /** A conf change added this member. */
  add(member: Member, sink: BucketWriter): void {
    this.#set(member);
    this.#save(member, sink);
  }

  /** The member published its name and client URLs. Ignored for a removed one. */
  setAttributes(id: bigint, name: string, clientUrls: readonly string[], sink: BucketWriter): void {
    const member = this.members.get(id);
    if (member === undefined) return;
    member.name = name;
    member.clientUrls = clientUrls;
    this.#save(member, sink);
  }

  setClusterVersion(version: string, sink: BucketWriter): void {
    this.clusterVersion = version;
    sink.put("cluster", CLUSTER_VERSION_KEY, utf8.encode(version));
  }

  #set(member: Member): void {
    this.members.set(member.id, member);
    const sorted = [...this.members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    this.members.clear();
    for (const each of sorted) this.members.set(each.id, each);
  }

  #save(member: Member, sink: BucketWriter): void {
    sink.put("members", utf8.encode(formatId(member.id)), utf8.encode(formatMember(member)));
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

/** Reads {@link formatMember}'s JSON, and a conf change's context; keeps the 64-bit id exact. Throws SyntaxError on bad JSON. */
export function parseMember(json: Uint8Array): Member {
  const text = new TextDecoder().decode(json);
  // The id is a bare 64-bit number, which JSON.parse would round: quote it first.
  const quoted = text.replace(/("id"\s*:\s*)(\d+)/, '$1"$2"');
  const raw = JSON.parse(quoted) as {
    id?: string;
    name?: string;
    peerURLs?: string[] | null;
    clientURLs?: string[];
    isLearner?: boolean;
  };
  return {
    id: BigInt(raw.id ?? 0),
    name: raw.name ?? "",
    peerUrls: raw.peerURLs ?? [],
    clientUrls: raw.clientURLs ?? [],
    isLearner: raw.isLearner ?? false,
  };
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
}
