/**
 * One record of 64 bytes (a cache line) a key, numbered by key id, and the key's bytes in an arena.
 *
 *     double 0  createRevision of the generation     word  8  sub of the last change
 *            1  modRevision: main of the last change        9  leaseLow
 *            2  version; 0 = tombstoned                    10  leaseHigh
 *            3  location of the encoded KeyValue           11  encodedBytes
 *                                                          12  newest slot of older revisions (history.ts), 0 = none
 *                                                          13  address of the key in the arena
 *                                                          14  length of the key; QUEUED: compaction will look at it
 *                                                          15  hash
 */
import { KEY_CHUNK_MASK, KEY_CHUNK_SHIFT, KeyArena } from "./key-arena.ts";
import { bigEndian, compareWords, type Probe } from "./probe.ts";
import { SlotPool } from "./slot-pool.ts";

export const KEY_WORDS = 16;
export const KEY_DOUBLES = 8;
/** 2^14 records = 1 MiB a chunk. */
export const KEY_SHIFT = 14;
export const KEY_MASK = (1 << KEY_SHIFT) - 1;

export const CREATE_REVISION = 0;
export const MOD_REVISION = 1;
export const VERSION = 2;
export const LOCATION = 3;
export const SUB = 8;
export const LEASE_LOW = 9;
export const LEASE_HIGH = 10;
export const ENCODED_BYTES = 11;
export const HISTORY = 12;
export const ADDRESS = 13;
export const KEY_LENGTH = 14;
export const HASH = 15;

/** In word KEY_LENGTH: the key waits in the compaction queue. Keys are far shorter than 2^31 bytes. */
export const QUEUED = 0x8000_0000;
export const LENGTH_MASK = 0x7fff_ffff;

export class KeyTable {
  readonly pool = new SlotPool(KEY_WORDS, KEY_SHIFT);
  readonly arena = new KeyArena();

  /** A new record for the key in `probe` (with its hash): never written, version 0. */
  add(probe: Probe): number {
    const id = this.pool.allocate();
    const words = this.pool.words[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    words.fill(0, at, at + KEY_WORDS);
    const count = (probe.length + 3) >>> 2;
    const address = this.arena.allocate(Math.max(1, count));
    const memory = this.arena.chunks[address >>> KEY_CHUNK_SHIFT];
    const from = address & KEY_CHUNK_MASK;
    for (let index = 0; index < count; index++) memory[from + index] = probe.words[index];
    words[at + ADDRESS] = address;
    words[at + KEY_LENGTH] = probe.length;
    words[at + HASH] = probe.hash;
    return id;
  }

  /** Frees the record and its key bytes; it must have left tree, hash, history and queue. */
  remove(id: number): void {
    const words = this.pool.words[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const length = words[at + KEY_LENGTH] & LENGTH_MASK;
    this.arena.free(words[at + ADDRESS], Math.max(1, (length + 3) >>> 2));
    this.pool.free(id);
  }

  /** After {@link compare}: the first word that differs, or the number of words compared if none did. */
  differsAt = 0;

  /** Sign of `key(id) - probe` in byte order. */
  compare(id: number, probe: Probe): number {
    const words = this.pool.words[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const address = words[at + ADDRESS];
    const length = words[at + KEY_LENGTH] & LENGTH_MASK;
    const memory = this.arena.chunks[address >>> KEY_CHUNK_SHIFT];
    const from = address & KEY_CHUNK_MASK;
    const target = probe.words;
    const count = ((length < probe.length ? length : probe.length) + 3) >>> 2;
    for (let index = 0; index < count; index++) {
      const word = memory[from + index];
      if (word !== target[index]) {
        this.differsAt = index;
        return compareWords(word, target[index]);
      }
    }
    this.differsAt = count;
    return length - probe.length;
  }

  /** Whether the key of `id` is the one in `probe`, whose hash is computed. */
  equals(id: number, probe: Probe): boolean {
    const words = this.pool.words[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    if (words[at + HASH] !== probe.hash || (words[at + KEY_LENGTH] & LENGTH_MASK) !== probe.length)
      return false;
    const address = words[at + ADDRESS];
    const memory = this.arena.chunks[address >>> KEY_CHUNK_SHIFT];
    const from = address & KEY_CHUNK_MASK;
    const target = probe.words;
    const count = (probe.length + 3) >>> 2;
    for (let index = 0; index < count; index++) if (memory[from + index] !== target[index]) return false;
    return true;
  }

  /** Makes `probe` the key of `id`, hash included. */
  fillProbe(id: number, probe: Probe): void {
    const words = this.pool.words[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const address = words[at + ADDRESS];
    const memory = this.arena.chunks[address >>> KEY_CHUNK_SHIFT];
    probe.setWords(memory, address & KEY_CHUNK_MASK, words[at + KEY_LENGTH] & LENGTH_MASK);
    probe.hash = words[at + HASH];
  }

  /** Number of leading words that two keys share, the last ones padded with zeros; for one key twice, all its words. */
  commonWords(a: number, b: number): number {
    const addressA = this.#addressOf(a);
    const addressB = this.#addressOf(b);
    const memoryA = this.arena.chunks[addressA >>> KEY_CHUNK_SHIFT];
    const memoryB = this.arena.chunks[addressB >>> KEY_CHUNK_SHIFT];
    const fromA = addressA & KEY_CHUNK_MASK;
    const fromB = addressB & KEY_CHUNK_MASK;
    const count = (Math.min(this.lengthOf(a), this.lengthOf(b)) + 3) >>> 2;
    let index = 0;
    while (index < count && memoryA[fromA + index] === memoryB[fromB + index]) index++;
    return index;
  }

  /** Word `index` of a key as a big-endian number, 0 behind its end. */
  bigEndianWord(id: number, index: number): number {
    if (index * 4 >= this.lengthOf(id)) return 0;
    const address = this.#addressOf(id);
    return bigEndian(this.arena.chunks[address >>> KEY_CHUNK_SHIFT][(address & KEY_CHUNK_MASK) + index]);
  }

  lengthOf(id: number): number {
    return this.pool.words[id >>> KEY_SHIFT][(id & KEY_MASK) * KEY_WORDS + KEY_LENGTH] & LENGTH_MASK;
  }

  #addressOf(id: number): number {
    return this.pool.words[id >>> KEY_SHIFT][(id & KEY_MASK) * KEY_WORDS + ADDRESS];
  }

  hashOf(id: number): number {
    return this.pool.words[id >>> KEY_SHIFT][(id & KEY_MASK) * KEY_WORDS + HASH];
  }

  /** Copies the key's bytes to `target` at `offset`; returns its length. */
  copyKey(id: number, target: Uint8Array, offset: number): number {
    const words = this.pool.words[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const address = words[at + ADDRESS];
    const length = words[at + KEY_LENGTH] & LENGTH_MASK;
    const memory = this.arena.chunks[address >>> KEY_CHUNK_SHIFT];
    let from = address & KEY_CHUNK_MASK;
    let index = 0;
    for (; index + 4 <= length; index += 4) {
      const word = memory[from++];
      target[offset + index] = word;
      target[offset + index + 1] = word >>> 8;
      target[offset + index + 2] = word >>> 16;
      target[offset + index + 3] = word >>> 24;
    }
    if (index < length) {
      let word = memory[from];
      for (; index < length; index++, word >>>= 8) target[offset + index] = word;
    }
    return length;
  }
}
