/**
 * The bytes of the keys, in whole words (see probe.ts). Space of removed keys is reused through free lists by exact size in
 * words; a longer free block is split when its own list is empty, so that put/delete/compact churn does not grow the arena.
 *
 * An address counts words: `chunk << CHUNK_SHIFT | word in chunk`. A key lies in one chunk; one longer than a chunk gets
 * a chunk of its own.
 */
import { assert } from "../base/assert.ts";

/** 2^18 words = 1 MiB a chunk. 2^32 word addresses reach 16 GiB of keys. */
export const KEY_CHUNK_SHIFT = 18;
export const KEY_CHUNK_MASK = (1 << KEY_CHUNK_SHIFT) - 1;
const CHUNK_WORDS = 1 << KEY_CHUNK_SHIFT;
const CHUNKS_MAX = 1 << (32 - KEY_CHUNK_SHIFT);
/** Blocks up to this size have a list each (list n: blocks of n words); longer ones share list 0, searched first-fit. */
const LISTED_WORDS_MAX = 512;
/** How far first-fit looks in list 0, and how many longer lists are tried for a block to split. */
const SEARCH_MAX = 64;
const EMPTY = new Uint32Array(0);

export class KeyArena {
  readonly chunks: Uint32Array[] = [];
  /** Words of the open (last regular) chunk in use, and its number; -1 = none. */
  #openChunk = -1;
  #openUsed = 0;
  /** Heads of the free lists as address + 1; a block's first word links to the next (in list 0 its second is its size). */
  readonly #freeHeads = new Float64Array(LISTED_WORDS_MAX + 1);
  /** Numbers of chunks whose one long key is gone. */
  readonly #emptyChunks: number[] = [];
  /** Words in free lists. */
  freeWords = 0;
  allocatedBytes = 0;

  /** Address of a block of `words` words (at least 1). */
  allocate(words: number): number {
    if (this.freeWords >= words) {
      const reused = this.#reuse(words);
      if (reused >= 0) return reused;
    }
    if (words > CHUNK_WORDS) return this.#addChunk(words) * CHUNK_WORDS;
    if (this.#openChunk < 0 || this.#openUsed + words > CHUNK_WORDS) this.#openNext();
    const address = this.#openChunk * CHUNK_WORDS + this.#openUsed;
    this.#openUsed += words;
    return address;
  }

  /** Gives back a block. Blocks longer than a chunk give their memory back at once. */
  free(address: number, words: number): void {
    const chunk = Math.floor(address / CHUNK_WORDS);
    if (words > CHUNK_WORDS) {
      this.allocatedBytes -= this.chunks[chunk].byteLength;
      this.chunks[chunk] = EMPTY;
      this.#emptyChunks.push(chunk);
      return;
    }
    const list = words <= LISTED_WORDS_MAX ? words : 0;
    const memory = this.chunks[chunk];
    const at = address % CHUNK_WORDS;
    memory[at] = this.#freeHeads[list];
    if (list === 0) memory[at + 1] = words;
    this.#freeHeads[list] = address + 1;
    this.freeWords += words;
  }

  #reuse(words: number): number {
    if (words <= LISTED_WORDS_MAX) {
      if (this.#freeHeads[words] !== 0) return this.#pop(words);
      const last = Math.min(words + SEARCH_MAX, LISTED_WORDS_MAX);
      for (let list = words + 1; list <= last; list++) {
        if (this.#freeHeads[list] !== 0) return this.#split(this.#pop(list), list, words);
      }
    }
    return this.#firstFit(words);
  }

  #pop(list: number): number {
    const address = this.#freeHeads[list] - 1;
    this.#freeHeads[list] = this.chunks[Math.floor(address / CHUNK_WORDS)][address % CHUNK_WORDS];
    this.freeWords -= list;
    return address;
  }

  #split(address: number, blockWords: number, words: number): number {
    if (blockWords > words) this.free(address + words, blockWords - words);
    return address;
  }

  #firstFit(words: number): number {
    let previous = -1;
    let link = this.#freeHeads[0];
    for (let looked = 0; link !== 0 && looked < SEARCH_MAX; looked++) {
      const address = link - 1;
      const memory = this.chunks[Math.floor(address / CHUNK_WORDS)];
      const at = address % CHUNK_WORDS;
      const next = memory[at];
      const blockWords = memory[at + 1];
      if (blockWords >= words) {
        if (previous < 0) this.#freeHeads[0] = next;
        else this.chunks[Math.floor(previous / CHUNK_WORDS)][previous % CHUNK_WORDS] = next;
        this.freeWords -= blockWords;
        return this.#split(address, blockWords, words);
      }
      previous = address;
      link = next;
    }
    return -1;
  }

  #openNext(): void {
    const rest = CHUNK_WORDS - this.#openUsed;
    if (this.#openChunk >= 0 && rest > 0) this.free(this.#openChunk * CHUNK_WORDS + this.#openUsed, rest);
    this.#openChunk = this.#addChunk(CHUNK_WORDS);
    this.#openUsed = 0;
  }

  #addChunk(words: number): number {
    const memory = new Uint32Array(words);
    this.allocatedBytes += memory.byteLength;
    const reused = this.#emptyChunks.pop();
    if (reused !== undefined) {
      this.chunks[reused] = memory;
      return reused;
    }
    assert(this.chunks.length < CHUNKS_MAX - 1, "key arena is full", this.chunks.length);
    return this.chunks.push(memory) - 1;
  }

  /** Memory of every chunk, and what else {@link load} needs; borrowed until the next write. */
  save(): { views: Uint8Array[]; state: Float64Array } {
    const state = new Float64Array(4 + this.#freeHeads.length + this.#emptyChunks.length);
    state.set([this.#openChunk, this.#openUsed, this.freeWords, this.#emptyChunks.length]);
    state.set(this.#freeHeads, 4);
    state.set(this.#emptyChunks, 4 + this.#freeHeads.length);
    const views = this.chunks.map(
      (chunk, index) =>
        new Uint8Array(chunk.buffer, 0, index === this.#openChunk ? this.#openUsed * 4 : chunk.byteLength),
    );
    return { views, state };
  }

  /** Takes over what {@link save} gave; false if it does not fit together. The arena must be new. */
  load(views: readonly Uint8Array[], state: Float64Array): boolean {
    const lists = this.#freeHeads.length;
    if (state.length < 4 + lists || state.length !== 4 + lists + state[3]) return false;
    for (const [index, view] of views.entries()) {
      if (view.length % 4 !== 0) return false;
      const open = index === state[0];
      const memory =
        view.length === 0 && !open ? EMPTY : new Uint32Array(open ? CHUNK_WORDS : view.length / 4);
      if (view.length > memory.byteLength) return false;
      new Uint8Array(memory.buffer).set(view);
      this.chunks.push(memory);
      this.allocatedBytes += memory.byteLength;
    }
    if (state[0] >= views.length || state[1] > CHUNK_WORDS) return false;
    this.#openChunk = state[0];
    this.#openUsed = state[1];
    this.freeWords = state[2];
    this.#freeHeads.set(state.subarray(4, 4 + lists));
    for (const chunk of state.subarray(4 + lists)) this.#emptyChunks.push(chunk);
    return true;
  }
}
