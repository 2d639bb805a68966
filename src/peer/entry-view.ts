/** Entries of a received message, where they lie in the received bytes: a table of numbers, used again for each message. */

import type { EntryBatch } from "../raft/raft.ts";

const ENTRIES_INITIAL = 256;
/** A table that grew beyond this (a burst of tiny entries) is not kept. */
const ENTRIES_KEPT_MAX = 256 * 1024;

export class EntryView implements EntryBatch {
  /** Index of the first entry; 0 in messages whose entries have none yet (forwarded proposals and reads). */
  firstIndex = 0;
  count = 0;
  /** Borrowed from the connection until the message was handled. */
  bytes: Uint8Array = new Uint8Array(0);
  #terms = new Float64Array(ENTRIES_INITIAL);
  #types = new Uint8Array(ENTRIES_INITIAL);
  #starts = new Uint32Array(ENTRIES_INITIAL);
  #ends = new Uint32Array(ENTRIES_INITIAL);

  /** Empties the view; entries that follow lie in `bytes`. */
  reset(bytes: Uint8Array): void {
    if (this.#types.length > ENTRIES_KEPT_MAX) this.#resize(ENTRIES_INITIAL);
    this.bytes = bytes;
    this.firstIndex = 0;
    this.count = 0;
  }

  add(type: number, term: number, start: number, end: number): void {
    const i = this.count;
    if (i === this.#types.length) this.#resize(i * 2);
    this.#types[i] = type;
    this.#terms[i] = term;
    this.#starts[i] = start;
    this.#ends[i] = end;
    this.count = i + 1;
  }

  term(i: number): number {
    return this.#terms[i];
  }

  type(i: number): number {
    return this.#types[i];
  }

  dataStart(i: number): number {
    return this.#starts[i];
  }

  dataEnd(i: number): number {
    return this.#ends[i];
  }

  #resize(length: number): void {
    const kept = Math.min(length, this.count);
    const { terms, types, starts, ends } = {
      terms: this.#terms,
      types: this.#types,
      starts: this.#starts,
      ends: this.#ends,
    };
    this.#terms = new Float64Array(length);
    this.#types = new Uint8Array(length);
    this.#starts = new Uint32Array(length);
    this.#ends = new Uint32Array(length);
    this.#terms.set(terms.subarray(0, kept));
    this.#types.set(types.subarray(0, kept));
    this.#starts.set(starts.subarray(0, kept));
    this.#ends.set(ends.subarray(0, kept));
  }
}
