/**
 * The first entries of a new cluster: one ConfChange AddNode a founding member, ascending by id, at term 1, committed.
 * Every founding member writes the same bytes, so they must be etcd's to the byte (raftpb.ConfChange is proto2: zeros are written).
 */

import { ConfChangeType, encodeConfChange } from "../proto/conf-change.ts";
import type { HardState } from "./raft.ts";

/** Term of the bootstrap entries. */
export const BOOTSTRAP_TERM = 1;

export interface FoundingMember {
  readonly id: bigint;
  readonly name: string;
  /** Sorted. */
  readonly peerUrls: readonly string[];
}

/** Data of the bootstrap entries 1..n, in order; each is an entry of type confChange. */
export function encodeBootstrapEntries(members: readonly FoundingMember[]): Uint8Array[] {
  return members.toSorted((a, b) => (a.id < b.id ? -1 : 1)).map(encodeAddNode);
}

/** Hard state behind the bootstrap entries: all of them committed, nobody voted for. */
export function bootstrapHardState(memberCount: number): HardState {
  return { term: BOOTSTRAP_TERM, vote: 0n, commit: memberCount };
}

function encodeAddNode(member: FoundingMember): Uint8Array {
  const context = new TextEncoder().encode(memberJson(member));
  return encodeConfChange({ id: 0n, type: ConfChangeType.addNode, nodeId: member.id, context });
}

/** Go's JSON of a membership.Member: 64-bit numbers as they are, keys in etcd's order, empty name left out. */
export function memberJson(member: FoundingMember): string {
  const urls = member.peerUrls.map(goJsonString).join(",");
  const name = member.name === "" ? "" : `,"name":${goJsonString(member.name)}`;
  return `{"id":${member.id},"peerURLs":[${urls}]${name}}`;
}

/** Go escapes <, > and & besides what JSON demands. */
function goJsonString(text: string): string {
  const escape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[<>&\u2028\u2029]/g, escape);
}
