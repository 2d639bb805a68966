/**
 * Membership entries: conf changes, and the requests that publish a member's attributes and the cluster version. Keeps the
 * {@link Membership} of the apply thread and answers MemberList from it.
 */

import { formatId } from "../cluster/identity.ts";
import { type Membership, parseMember, type BucketWriter } from "../cluster/membership.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { RaftField } from "../proto/raft-request.ts";
import { WireReader } from "../proto/wire.ts";
import type { EntryPosition, RequestHook } from "./apply-interfaces.ts";

const EMPTY = new Uint8Array(0);
const CONF_CHANGE_ADD_NODE = 0;

export interface MembershipHookOptions {
  readonly membership: Membership;
  /** This member: the only one there may be. */
  readonly memberId: bigint;
  readonly buckets: BucketWriter;
  /** Answers the proposer, when it is a request of this process. */
  readonly respond: (requestId: number, bytes: Uint8Array) => void;
  /** Called after the cluster version changed. */
  readonly onClusterVersion: (version: string) => void;
}

export class MembershipHook implements RequestHook {
  readonly #options: MembershipHookOptions;
  readonly #reader = new WireReader();

  constructor(options: MembershipHookOptions) {
    this.#options = options;
  }

  applyRequest(
    field: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    requestId: number,
    at: EntryPosition,
  ): boolean {
    if (field === RaftField.clusterMemberAttrSet) {
      if (!at.replayed) this.#setAttributes(bytes, start, end);
    } else if (field === RaftField.clusterVersionSet) {
      if (!at.replayed) this.#setClusterVersion(bytes, start, end);
    } else return false;
    if (requestId >= 0) this.#options.respond(requestId, EMPTY);
    return true;
  }

  applyV2Request(_bytes: Uint8Array, _start: number, _end: number, at: EntryPosition): void {
    throw new Error(
      `entry ${at.index} is a v2 request, as etcd 3.5 and older write them; a log of theirs is not read yet`,
    );
  }

  applyConfChange(entryType: number, bytes: Uint8Array, start: number, end: number, at: EntryPosition): void {
    if (at.replayed) return;
    const change = this.#decodeConfChange(bytes, start, end);
    if (entryType !== 1 || change.type !== CONF_CHANGE_ADD_NODE || change.context.length === 0) {
      throw new Error(
        `entry ${at.index} changes the membership in a way that one member does not know (type ${change.type})`,
      );
    }
    const { membership, memberId, buckets } = this.#options;
    const member = parseMember(change.context);
    if (member.id !== memberId) {
      throw new Error(
        `entry ${at.index} adds member ${formatId(member.id)} beside ${formatId(memberId)}: clusters of several members are not ` +
          `supported yet, and this one must not go on alone`,
      );
    }
    membership.add(member, buckets);
  }

  applyEmptyEntry(): void {}

  /** ClusterMemberAttrSetRequest {1 member_ID, 2 attributes {1 name, 2 client_urls}}. */
  #setAttributes(bytes: Uint8Array, start: number, end: number): void {
    const reader = this.#reader;
    const text = new TextDecoder();
    let id = 0n;
    let name = "";
    const clientUrls: string[] = [];
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x08) {
        reader.varint();
        id = (BigInt(reader.high) << 32n) | BigInt(reader.low);
      } else if (tag === 0x12) {
        const attributesEnd = reader.length() + reader.position;
        while (reader.position < attributesEnd && !reader.failed) {
          const inner = reader.tag();
          const length = reader.length();
          const value = text.decode(bytes.slice(reader.position, reader.position + length));
          reader.advance(length);
          if (inner === 0x0a) name = value;
          else if (inner === 0x12) clientUrls.push(value);
        }
      } else reader.skip(tag);
    }
    this.#options.membership.setAttributes(id, name, clientUrls, this.#options.buckets);
  }

  /** ClusterVersionSetRequest {1 ver}. */
  #setClusterVersion(bytes: Uint8Array, start: number, end: number): void {
    const reader = this.#reader;
    let version = "";
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== 0x0a) {
        reader.skip(tag);
        continue;
      }
      const length = reader.length();
      version = new TextDecoder().decode(bytes.slice(reader.position, reader.position + length));
      reader.advance(length);
    }
    this.#options.membership.setClusterVersion(version, this.#options.buckets);
    this.#options.onClusterVersion(version);
  }

  /** raftpb.ConfChange {1 ID, 2 Type, 3 NodeID, 4 Context}. */
  #decodeConfChange(bytes: Uint8Array, start: number, end: number): { type: number; context: Uint8Array } {
    const reader = this.#reader;
    let type = 0;
    let context = EMPTY;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x10) type = reader.int32();
      else if (tag === 0x22) {
        const length = reader.length();
        context = bytes.slice(reader.position, reader.position + length);
        reader.advance(length);
      } else reader.skip(tag);
    }
    return { type, context };
  }
}

/** MemberListResponse {1 header, 2 members}: `header` as encoded bytes. */
export function encodeMemberList(header: MessageBuilder, membership: Membership): Uint8Array {
  const response = new MessageBuilder().message(1, header);
  for (const member of membership.members.values()) {
    const message = new MessageBuilder()
      .uint64(1, member.id)
      .string(2, member.name)
      .strings(3, member.peerUrls)
      .strings(4, member.clientUrls)
      .bool(5, member.isLearner);
    response.message(2, message);
  }
  return response.finish();
}
