/**
 * Revisions of a key older than its last change, newest first, as linked slots of 32 bytes:
 *
 *     double 0  main                 word 4  sub
 *            1  location                  5  encodedBytes | TOMBSTONE | LEASED
 *                                         6  next older slot, 0 = none
 *                                         7  version of the key at that revision; 0 = read it from the KeyValue
 */
import { SlotPool } from "./slot-pool.ts";

export const SLOT_WORDS = 8;
export const SLOT_DOUBLES = 4;
/** 2^15 slots = 1 MiB a chunk. */
export const SLOT_SHIFT = 15;
export const SLOT_MASK = (1 << SLOT_SHIFT) - 1;

export const SLOT_MAIN = 0;
export const SLOT_LOCATION = 1;
export const SLOT_SUB = 4;
export const SLOT_BYTES = 5;
export const SLOT_NEXT = 6;
export const SLOT_VERSION = 7;

/** Flags above the length. A KeyValue is limited to 2^30 - 1 bytes, which requestBytesMax never reaches. */
export const TOMBSTONE = 0x8000_0000;
/** The KeyValue has a lease, which is found in its bytes only. */
export const LEASED = 0x4000_0000;
export const BYTES_MASK = 0x3fff_ffff;

export class History {
  readonly pool = new SlotPool(SLOT_WORDS, SLOT_SHIFT);

  /** A slot in front of `next`. `bytes` carries the flags. */
  push(next: number, main: number, sub: number, bytes: number, version: number, location: number): number {
    const slot = this.pool.allocate();
    const words = this.pool.words[slot >>> SLOT_SHIFT];
    const doubles = this.pool.doubles[slot >>> SLOT_SHIFT];
    const at = (slot & SLOT_MASK) * SLOT_WORDS;
    doubles[at / 2 + SLOT_MAIN] = main;
    doubles[at / 2 + SLOT_LOCATION] = location;
    words[at + SLOT_SUB] = sub;
    words[at + SLOT_BYTES] = bytes;
    words[at + SLOT_NEXT] = next;
    words[at + SLOT_VERSION] = version < 0x1_0000_0000 ? version : 0;
    return slot;
  }

  main(slot: number): number {
    return this.pool.doubles[slot >>> SLOT_SHIFT][(slot & SLOT_MASK) * SLOT_DOUBLES + SLOT_MAIN];
  }

  location(slot: number): number {
    return this.pool.doubles[slot >>> SLOT_SHIFT][(slot & SLOT_MASK) * SLOT_DOUBLES + SLOT_LOCATION];
  }

  sub(slot: number): number {
    return this.word(slot, SLOT_SUB);
  }

  /** encodedBytes with the flags. */
  bytes(slot: number): number {
    return this.word(slot, SLOT_BYTES);
  }

  isTombstone(slot: number): boolean {
    return this.word(slot, SLOT_BYTES) >= TOMBSTONE;
  }

  next(slot: number): number {
    return this.word(slot, SLOT_NEXT);
  }

  version(slot: number): number {
    return this.word(slot, SLOT_VERSION);
  }

  setNext(slot: number, next: number): void {
    this.pool.words[slot >>> SLOT_SHIFT][(slot & SLOT_MASK) * SLOT_WORDS + SLOT_NEXT] = next;
  }

  word(slot: number, field: number): number {
    return this.pool.words[slot >>> SLOT_SHIFT][(slot & SLOT_MASK) * SLOT_WORDS + field];
  }
}
