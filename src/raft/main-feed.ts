import { RecordType } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import { LEADER_BYTES, writeLeader } from "./apply-feed.ts";
import type { Consensus } from "./raft.ts";

/** f64 commitIndex, f64 lastIndex, f64 term. */
const STATUS_BYTES = 24;
const ERROR_BYTES = 4;
/** Answers and peers' requests that may wait for room; main drains its rings at every turn. */
const MESSAGES_WAITING_MAX = 256;

interface WaitingMessage {
  readonly type: number;
  readonly requestId: number;
  readonly payload: Uint8Array;
}

/**
 * What the raft thread tells the main thread: refusals, answers, peers' requests, leader, status. Never blocks: main always drains its rings, so what
 * finds no room is kept (the newest status, the refusals in order) and goes with a later call of {@link send}.
 */
export class MainFeed {
  readonly #ring: RingWriter;
  readonly #refusedIds: number[] = [];
  readonly #refusedErrors: number[] = [];
  readonly #messages: WaitingMessage[] = [];
  #leaderChanged = false;
  #commitIndex = -1;
  #term = -1;

  constructor(ring: RingWriter) {
    this.#ring = ring;
  }

  /** Refusals that wait for room. The loop takes no more records while there are any, which bounds them. */
  get refusalsWaiting(): number {
    return this.#refusedIds.length;
  }

  /** What to wait for when there is no room. */
  get neededBytes(): number {
    return Math.max(STATUS_BYTES, this.#messages[0]?.payload.length ?? 0);
  }

  /** Sends a record; the payload is kept. False if too many wait or it is too long for the ring: then it is dropped. */
  post(type: number, requestId: number, payload: Uint8Array): boolean {
    if (this.#messages.length >= MESSAGES_WAITING_MAX || payload.length > this.#ring.payloadBytesMax)
      return false;
    this.#messages.push({ type, requestId, payload });
    return true;
  }

  refuse(requestId: number, errorId: number): void {
    this.#refusedIds.push(requestId);
    this.#refusedErrors.push(errorId);
  }

  noteLeader(): void {
    this.#leaderChanged = true;
  }

  /** Sends what is new. False if there was no room for all of it. */
  send(consensus: Consensus): boolean {
    const done = this.#sendRefusals() && this.#sendMessages() && this.#sendLeader(consensus);
    const wakes = this.#ring.hasUnpublished;
    const status = done ? this.#sendStatus(consensus) : 0;
    if (wakes || status < 0) this.#ring.publish();
    // Nobody waits for how far the log is; who wants to know looks into the ring first.
    else this.#ring.publishQuietly();
    return done && status >= 0;
  }

  #sendRefusals(): boolean {
    let sent = 0;
    for (; sent < this.#refusedIds.length; sent++) {
      const at = this.#ring.reserve(ERROR_BYTES);
      if (at < 0) break;
      this.#ring.view.setUint32(at, this.#refusedErrors[sent], true);
      this.#ring.commit(RecordType.error, 0, this.#refusedIds[sent], ERROR_BYTES);
    }
    this.#refusedIds.splice(0, sent);
    this.#refusedErrors.splice(0, sent);
    return this.#refusedIds.length === 0;
  }

  #sendMessages(): boolean {
    for (let first = this.#messages[0]; first !== undefined; first = this.#messages[0]) {
      const { type, requestId, payload } = first;
      if (!this.#ring.write(type, 0, requestId, payload, 0, payload.length)) return false;
      this.#messages.shift();
    }
    return true;
  }

  #sendLeader(consensus: Consensus): boolean {
    if (!this.#leaderChanged) return true;
    if (this.#ring.freeBytes() < LEADER_BYTES + STATUS_BYTES) return false;
    if (!writeLeader(this.#ring, consensus.term, consensus.leaderId, consensus.isLeader)) return false;
    this.#leaderChanged = false;
    this.#term = -1;
    return true;
  }

  /** 1 = sent, 0 = nothing new, -1 = no room. */
  #sendStatus(consensus: Consensus): number {
    const { commitIndex, lastIndex, term } = consensus;
    // A new last index alone does not wake main: it goes along when that entry is committed.
    if (commitIndex === this.#commitIndex && term === this.#term) return 0;
    const at = this.#ring.reserve(STATUS_BYTES);
    if (at < 0) return -1;
    this.#ring.view.setFloat64(at, commitIndex, true);
    this.#ring.view.setFloat64(at + 8, lastIndex, true);
    this.#ring.view.setFloat64(at + 16, term, true);
    this.#ring.commit(RecordType.raftStatus, 0, 0, STATUS_BYTES);
    this.#commitIndex = commitIndex;
    this.#term = term;
    return 1;
  }
}
