/**
 * Membership changes as main makes them: etcd's checks beforehand, then the proposal. What a change does when it is committed,
 * and what it then may still be refused for, is decided by the apply thread (`src/apply/membership-hook.ts`).
 *
 * A promotion needs to know how far the learner is, and only the leader knows: other members send it there over HTTP.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { ERRORS, ErrorId } from "../base/errors.ts";
import { formatId, memberId } from "../cluster/identity.ts";
import { formatMember, formatPromotion, type Member } from "../cluster/membership.ts";
import {
  checkAdd,
  checkPromote,
  checkReady,
  checkRemove,
  type GroupReport,
  type ReconfigFacts,
} from "../cluster/reconfig.ts";
import { parseUrl } from "../config/urls.ts";
import { type PeerCallOptions, PeerCallError, postPromote } from "../peer/peer-client.ts";
import { type ConfChangeMessage, ConfChangeType } from "../proto/conf-change.ts";
import type { Logger } from "../telemetry/logger.ts";
import { CallFailure } from "./internal-call.ts";
import type { Router } from "./router.ts";

/** A change that may be proposed. */
export type Change = Omit<ConfChangeMessage, "id">;

export interface ReconfigurerOptions {
  readonly router: Router;
  /** `--strict-reconfig-check` */
  readonly strict: boolean;
  /** Time a promotion has at the leader. */
  readonly requestTimeoutMs: number;
  readonly log: Logger;
  /** How a promotion goes to the leader; {@link postPromote} unless a test gives another. */
  readonly promoteAt?: typeof postPromote;
}

/** How long raft may take to tell how the others are. */
const REPORT_WAIT_MS = 2000;
/** Pause between two attempts to reach the leader. */
const FORWARD_PAUSE_MS = 100;
const NO_REPORT: GroupReport = { lastIndex: 0, activeSinceMs: {}, match: {} };
const EMPTY = new Uint8Array(0);
const utf8 = new TextEncoder();

/** Rejects or throws with a row of the error table. */
export function failure(errorId: number): CallFailure {
  const { grpcCode, message } = ERRORS[errorId];
  return new CallFailure(grpcCode, message);
}

export class Reconfigurer {
  /** Promotions that this member refused as the leader, by the reason given. */
  readonly promotionsRefused = new Map<string, number>();
  readonly #options: ReconfigurerOptions;

  constructor(options: ReconfigurerOptions) {
    this.#options = options;
  }

  /** Checks an addition. Rejects with {@link CallFailure}. */
  async add(peerUrls: readonly string[], isLearner: boolean, nowMs: number): Promise<Change> {
    const urls = normalizeUrls(peerUrls);
    const id = memberId(urls, "", String(Math.floor(nowMs / 1000)), sha1);
    if (this.#options.strict) this.#expect(checkAdd(await this.#facts(), isLearner), "add", id);
    const member = { id, name: "", peerUrls: urls, clientUrls: [], isLearner };
    const type = isLearner ? ConfChangeType.addLearnerNode : ConfChangeType.addNode;
    return { type, nodeId: id, context: utf8.encode(formatMember(member)) };
  }

  /** Checks a removal. Rejects with {@link CallFailure}. */
  async remove(id: bigint): Promise<Change> {
    const { members } = this.#options.router.status;
    const voters = members.filter((member) => !member.isLearner);
    // Raft cannot be without a voter, strict or not; etcd's ends the process there.
    if (voters.length === 1 && voters[0].id === id)
      this.#expect(ErrorId.memberNotEnoughStarted, "remove", id);
    if (this.#options.strict) this.#expect(checkRemove(await this.#facts(), id), "remove", id);
    return { type: ConfChangeType.removeNode, nodeId: id, context: EMPTY };
  }

  /** An update of peer URLs. Throws {@link CallFailure} for bad ones: etcd takes them, and its members end when they apply them. */
  update(id: bigint, peerUrls: readonly string[]): Change {
    normalizeUrls(peerUrls);
    const member = { id, name: "", peerUrls, clientUrls: [], isLearner: false };
    return { type: ConfChangeType.updateNode, nodeId: id, context: utf8.encode(formatMember(member)) };
  }

  /** On the leader: checks a promotion. Rejects with {@link CallFailure}, with `not leader` on other members. */
  async promote(id: bigint): Promise<Change> {
    try {
      return await this.#checkPromotion(id);
    } catch (error) {
      const { message } = error as Error;
      if (message !== ERRORS[ErrorId.notLeader].message)
        this.promotionsRefused.set(message, (this.promotionsRefused.get(message) ?? 0) + 1);
      throw error;
    }
  }

  async #checkPromotion(id: bigint): Promise<Change> {
    const { router, strict } = this.#options;
    if (!router.status.isLeader) throw failure(ErrorId.notLeader);
    const facts = await this.#report();
    if (Object.keys(facts.report.match).length === 0) throw failure(ErrorId.notLeader);
    this.#expect(checkReady(facts, id), "promote", id);
    if (strict) this.#expect(checkPromote(facts), "promote", id);
    return { type: ConfChangeType.addNode, nodeId: id, context: utf8.encode(formatPromotion(id)) };
  }

  /**
   * Has the leader promote member `id`; resolves with the members after it. Tries until the time is over; rejects with
   * {@link CallFailure} at once when the leader refuses.
   * @param token the client's auth token, or empty
   */
  async promoteAtLeader(id: bigint, token: string): Promise<readonly Member[]> {
    const { router, requestTimeoutMs } = this.#options;
    const { status } = router;
    const endMs = performance.now() + requestTimeoutMs;
    for (let leftMs = requestTimeoutMs; leftMs > 0; leftMs = endMs - performance.now()) {
      const known = await status.until(() => status.member(status.leaderId) !== undefined, leftMs);
      if (!known) throw failure(ErrorId.noLeader);
      // It has become the leader meanwhile.
      if (status.isLeader) return this.promoteHere(id);
      for (const url of status.member(status.leaderId)?.peerUrls ?? []) {
        const members = await this.#promoteAt(url, id, token, { timeoutMs: endMs - performance.now() });
        if (members !== null) return members;
      }
      await sleep(FORWARD_PAUSE_MS);
    }
    throw failure(ErrorId.timeout);
  }

  /** On the leader: promotes member `id`; resolves with the members after it. Rejects with {@link CallFailure}. */
  async promoteHere(id: bigint): Promise<readonly Member[]> {
    const { router } = this.#options;
    const change = await this.promote(id);
    await router.request((call) => router.proposeConfChange(call, change));
    return router.status.members;
  }

  /** What raft knows of the others now, and the members as applied. */
  async #report(): Promise<ReconfigFacts> {
    const { router } = this.#options;
    const report = await router.raftReport(REPORT_WAIT_MS).catch(() => {
      throw failure(ErrorId.timeout);
    });
    const { members, memberId: selfId } = router.status;
    return { members, selfId, report, nowMs: Date.now() };
  }

  /** As {@link #report}; a cluster of one has nobody to ask about. */
  async #facts(): Promise<ReconfigFacts> {
    const { members, memberId: selfId } = this.#options.router.status;
    if (members.length < 2) return { members, selfId, report: NO_REPORT, nowMs: Date.now() };
    return this.#report();
  }

  /** Null when another URL, or a later attempt, may do better. */
  async #promoteAt(
    url: string,
    id: bigint,
    token: string,
    options: PeerCallOptions,
  ): Promise<readonly Member[] | null> {
    try {
      return await (this.#options.promoteAt ?? postPromote)(url, id, token, options);
    } catch (error) {
      if (error instanceof PeerCallError && error.status === 404) throw failure(ErrorId.memberNotFound);
      const text = (error as Error).message;
      if (text.includes(ERRORS[ErrorId.learnerNotReady].message)) throw failure(ErrorId.learnerNotReady);
      if (text.includes(NOT_LEARNER_TEXT)) throw failure(ErrorId.memberNotLearner);
      return null;
    }
  }

  #expect(errorId: number, what: string, id: bigint): void {
    if (errorId === ErrorId.none) return;
    const error = failure(errorId);
    this.#options.log.warn(`rejecting member ${what} request`, {
      "local-member-id": formatId(this.#options.router.status.memberId),
      [`requested-member-${what}`]: formatId(id),
      error: error.message,
    });
    throw error;
  }
}

/** What members tell each other for `memberNotLearner`. */
export const NOT_LEARNER_TEXT = "membership: can only promote a learner member";

/** As etcd reads lists of peer URLs: trimmed, sorted, at least one, and none with a path. */
function normalizeUrls(peerUrls: readonly string[]): string[] {
  if (peerUrls.length === 0) throw failure(ErrorId.memberBadUrls);
  try {
    return peerUrls.map((url) => parseUrl(url.trim()).text).sort();
  } catch {
    throw failure(ErrorId.memberBadUrls);
  }
}

function sha1(bytes: Uint8Array): Uint8Array {
  return process.getBuiltinModule("node:crypto").createHash("sha1").update(bytes).digest();
}
