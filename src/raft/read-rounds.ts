import { equalBytes } from "../base/bytes.ts";
import type { RaftMeters } from "../base/thread-meters.ts";
import { ReadQueue } from "./read-queue.ts";
import type { Consensus, ReadState } from "./raft.ts";

/**
 * Rounds of confirmation that may be under way at once. Reads that come meanwhile gather for the next one, so a busy member
 * confirms many reads by each round, and an idle one waits for nobody.
 */
const ROUNDS_MAX = 2;
/** A round that a leader has not confirmed after this time is asked for again: the message or its answer got lost. */
export const READ_RETRY_MS = 500;

/** Bits of a context's number; the rest is the member's. */
const NUMBER_BITS = 48n;

/** A round that waits for its confirmation. */
interface Round {
  readonly number: number;
  readonly context: Uint8Array;
  /** Since it was asked for last, and since it was asked for first. */
  ticks: number;
  age: number;
}

/**
 * Linearizable reads on their way to apply, in rounds: those of one round are confirmed together. Contexts are 8 bytes, big
 * endian: 16 bits of the member's id, 48 bits that count, from a number that is above those of earlier lives.
 */
export class ReadRounds {
  readonly queue = new ReadQueue();
  readonly #prefix: bigint;
  readonly #retryTicks: number;
  readonly #slowTicks: number;
  readonly #meters: RaftMeters | undefined;
  /** Number of the round that new reads join. */
  #number: number;
  #isOpen = false;
  #asked: Round[] = [];

  /** @param options `slowMs`: when those who wait give up */
  constructor(options: {
    memberId: bigint;
    firstNumber: number;
    tickMs: number;
    slowMs?: number | undefined;
    meters?: RaftMeters | undefined;
  }) {
    this.#prefix = (options.memberId & 0xffffn) << NUMBER_BITS;
    this.#number = options.firstNumber;
    this.#retryTicks = Math.ceil(READ_RETRY_MS / options.tickMs);
    this.#slowTicks = Math.ceil((options.slowMs ?? Infinity) / options.tickMs);
    this.#meters = options.meters;
  }

  /** A read joins the round that has not been asked for yet. The payload is copied. */
  push(flags: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    this.#isOpen = true;
    this.queue.push(this.#number, flags, requestId, bytes, start, end);
  }

  /** Context of the round that new reads join. */
  openContext(): Uint8Array {
    return this.#encode(this.#number);
  }

  /** Asks for the open round if there is somebody to ask and not too much under way. */
  ask(consensus: Consensus): void {
    if (!this.#isOpen || this.#asked.length >= ROUNDS_MAX || consensus.leaderId === 0n) return;
    this.#isOpen = false;
    const round: Round = { number: this.#number, context: this.#encode(this.#number), ticks: 0, age: 0 };
    this.#number++;
    this.#asked.push(round);
    consensus.readIndex(round.context);
  }

  /** A tick passed: rounds that wait too long are asked for again. */
  tick(consensus: Consensus): void {
    for (const round of this.#asked) {
      if (++round.age === this.#slowTicks) this.#meters?.slowReadRounds.add(1);
      if (++round.ticks < this.#retryTicks || consensus.leaderId === 0n) continue;
      round.ticks = 0;
      consensus.readIndex(round.context);
    }
  }

  /** The one who was asked leads no more: the new leader is asked for everything that waits. */
  leaderChanged(consensus: Consensus): void {
    if (consensus.leaderId === 0n) return;
    this.#meters?.failedReadRounds.add(this.#asked.length);
    for (const round of this.#asked) {
      round.ticks = 0;
      consensus.readIndex(round.context);
    }
  }

  /** Reads of these rounds, and of older ones, may be answered. */
  confirm(states: readonly ReadState[]): void {
    for (const { index, context } of states) {
      const at = this.#asked.findIndex((round) => equalBytes(round.context, context));
      if (at < 0) continue; // of an earlier life, or asked for twice
      this.queue.confirm(this.#asked[at].number, index);
      this.#asked.splice(0, at + 1);
    }
  }

  #encode(number: number): Uint8Array {
    const context = new Uint8Array(8);
    new DataView(context.buffer).setBigUint64(0, this.#prefix | BigInt(number));
    return context;
  }
}
