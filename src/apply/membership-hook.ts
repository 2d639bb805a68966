/**
 * Membership entries: conf changes, and the requests that publish a member's attributes and the cluster version. Owns no
 * state: the {@link Membership} is the apply thread's; this decides when it changes, tells raft and main, and answers whoever
 * in this process asked for the change.
 *
 * Order: raft hands nothing over behind a conf change until it has its result; the new membership goes in front of the result,
 * and both in front of the answer, so that whoever has the answer may propose the next change.
 */

import { assert } from "../base/assert.ts";
import { ErrorId } from "../base/errors.ts";
import { SERVER_VERSION } from "../base/version.ts";
import { formatId } from "../cluster/identity.ts";
import {
  type BucketWriter,
  type MemberChange,
  type Membership,
  parseMemberChange,
} from "../cluster/membership.ts";
import { decodeConfChange } from "../proto/conf-change.ts";
import { RaftField } from "../proto/raft-request.ts";
import { type MemberIdentity, responseHeader } from "../proto/response-header.ts";
import { NOT_ANSWERED } from "./apply-context.ts";
import type { EntryPosition, RequestHook, ResponseSink } from "./apply-interfaces.ts";
import { encodeChangeResponse } from "./member-answers.ts";
import type { MembershipFeed } from "./membership-feed.ts";
import {
  decodeClusterVersion,
  decodeDowngradeTarget,
  decodeMemberAttributes,
  decodeV2Membership,
  type MemberAttributes,
} from "./membership-requests.ts";
import type { ProposerIds } from "./proposer-ids.ts";

const EMPTY = new Uint8Array(0);
/** raftpb.EntryType of a V1 change, the only one that etcd's members know. */
const ENTRY_CONF_CHANGE = 1;

export interface MembershipHookOptions {
  readonly membership: Membership;
  readonly identity: MemberIdentity;
  /** `--max-learners` */
  readonly learnersMax: number;
  readonly buckets: BucketWriter;
  readonly responses: ResponseSink;
  readonly ids: ProposerIds;
  readonly feed: MembershipFeed;
  readonly log: (level: "info" | "warn", message: string, fields: Record<string, unknown>) => void;
}

export class MembershipHook implements RequestHook {
  readonly #options: MembershipHookOptions;

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
    switch (field) {
      case RaftField.clusterMemberAttrSet: {
        const attributes = decodeMemberAttributes(bytes, start, end);
        assert(attributes !== null, "attributes in the log can be decoded", at.index);
        this.#setAttributes(attributes, at);
        break;
      }
      case RaftField.clusterVersionSet: {
        const version = decodeClusterVersion(bytes, start, end);
        assert(version !== null, "a cluster version in the log can be decoded", at.index);
        this.#setClusterVersion(version, at);
        break;
      }
      case RaftField.downgradeInfoSet:
        this.#setDowngrade(bytes, start, end, at);
        break;
      case RaftField.downgradeVersionTest:
        break;
      default:
        return false;
    }
    if (requestId !== NOT_ANSWERED) this.#options.responses.respond(requestId, EMPTY, 0, 0);
    return true;
  }

  applyV2Request(bytes: Uint8Array, start: number, end: number, at: EntryPosition): void {
    const request = decodeV2Membership(bytes, start, end);
    if (request === null) throw new Error(`entry ${at.index} is a v2 request that no member of 3.5 writes`);
    if (request.kind === "version") this.#setClusterVersion(request.version, at);
    else this.#setAttributes(request.attributes, at);
  }

  applyConfChange(entryType: number, bytes: Uint8Array, start: number, end: number, at: EntryPosition): void {
    const message = decodeConfChange(bytes, start, end);
    if (entryType !== ENTRY_CONF_CHANGE || message === null)
      throw new Error(`entry ${at.index} is a change of the configuration that etcd does not know`);
    if (at.replayed) return this.#options.feed.result(at.index, false);
    const change = parseMemberChange(message.type, message.nodeId, message.context);
    const errorId = this.#options.membership.validate(change, this.#options.learnersMax);
    if (errorId === ErrorId.none) this.#apply(change, at);
    else this.#log("warn", "Validation on configuration change failed", { index: at.index, errorId });
    this.#options.feed.result(at.index, errorId === ErrorId.none);
    const requestId = this.#options.ids.answered(
      Number(message.id & 0xffff_ffffn),
      Number(message.id >> 32n),
      at,
    );
    if (requestId !== NOT_ANSWERED) this.#answer(requestId, change, errorId, at);
  }

  applyEmptyEntry(): void {}

  #apply(change: MemberChange, at: EntryPosition): void {
    const { membership, buckets, feed, identity } = this.#options;
    membership.apply(change, buckets);
    feed.report(membership, at.index);
    this.#log("info", "applied a configuration change through raft", {
      "cluster-id": formatId(identity.clusterId),
      "local-member-id": formatId(identity.memberId),
      "raft-conf-change": `type ${change.type}`,
      "raft-conf-change-node-id": formatId(change.nodeId),
    });
  }

  #answer(requestId: number, change: MemberChange, errorId: number, at: EntryPosition): void {
    const { membership, identity, responses } = this.#options;
    if (errorId !== ErrorId.none) return responses.fail(requestId, errorId);
    const header = responseHeader(identity, 0, at.term);
    const answer = encodeChangeResponse(header, change, [...membership.members.values()]);
    responses.respond(requestId, answer, 0, answer.length);
  }

  /** etcd ends when the member is not known; nothing can be done about it here either, but nothing is wrong with this member. */
  #setAttributes({ id, name, clientUrls }: MemberAttributes, at: EntryPosition): void {
    if (at.replayed) return;
    const { membership, buckets, feed } = this.#options;
    if (membership.setAttributes(id, name, clientUrls, buckets)) return feed.report(membership, at.index);
    const text = membership.removed.has(id)
      ? "skipped attributes update of removed member"
      : "skipped attributes update of unknown member";
    this.#log("warn", text, { "updated-peer-id": formatId(id) });
  }

  #setClusterVersion(version: string, at: EntryPosition): void {
    if (at.replayed) return;
    const { membership, buckets, feed } = this.#options;
    checkClusterVersion(version, at);
    const from = membership.clusterVersion;
    membership.setClusterVersion(version, buckets);
    feed.report(membership, at.index);
    if (from === "")
      this.#log("info", "set initial cluster version", { "cluster-version": minorOf(version) });
    else this.#log("info", "updated cluster version", { from: minorOf(from), to: minorOf(version) });
  }

  #setDowngrade(bytes: Uint8Array, start: number, end: number, at: EntryPosition): void {
    const target = decodeDowngradeTarget(bytes, start, end);
    assert(target !== null, "a downgrade in the log can be decoded", at.index);
    if (at.replayed) return;
    const { membership, buckets, feed, identity } = this.#options;
    membership.setDowngrade(target, buckets);
    feed.report(membership, at.index);
    if (target === "") return;
    this.#log("info", "The downgrade is ready to start", {
      "local-member-id": formatId(identity.memberId),
      "target-version": target,
      "server-version": SERVER_VERSION,
    });
  }

  #log(level: "info" | "warn", message: string, fields: Record<string, unknown>): void {
    this.#options.log(level, message, fields);
  }
}

/** `major.minor` of `major.minor.patch`. */
function minorOf(version: string): string {
  return version.split(".", 2).join(".");
}

/** Throws, as etcd does, when the cluster is of a later version than this member: it would misread what others write from now on. */
function checkClusterVersion(version: string, at: EntryPosition): void {
  const match = /^(\d+)\.(\d+)\.\d+$/.exec(version);
  if (match === null)
    throw new Error(`entry ${at.index} sets the cluster version to ${JSON.stringify(version)}`);
  const [major, minor] = SERVER_VERSION.split(".").map(Number);
  const [clusterMajor, clusterMinor] = [Number(match[1]), Number(match[2])];
  if (clusterMajor > major || (clusterMajor === major && clusterMinor > minor)) {
    throw new Error(
      `invalid downgrade; server version ${SERVER_VERSION} is lower than determined cluster version ${version}`,
    );
  }
}
