/**
 * Records of a fixed number of 32-bit words in chunks of typed arrays: the index holds millions of them, and none is seen
 * by the garbage collector. Chunks, because doubling one array of 64 MB stalls writes for tens of milliseconds, and because
 * resizable ArrayBuffers read at half the speed (measured on Node 24).
 *
 * Slot 0 is never given out, so that 0 can mean "none". Readers take the chunk once and then index plain typed arrays:
 * `const words = pool.words[slot >>> pool.shift]; const at = (slot & pool.mask) * WORDS;`
 */
import { assert } from "../base/assert.ts";

export class SlotPool {
  /** The same memory twice: as 32-bit words, and as doubles (two words each). */
  readonly words: Uint32Array[] = [];
  readonly doubles: Float64Array[] = [];
  readonly wordsASlot: number;
  readonly shift: number;
  readonly mask: number;
  /** Slots ever given out, slot 0 included: all slots are below this. */
  used = 1;
  /** First of the free slots, chained by their word 0; 0 = none. */
  freeHead = 0;
  freeCount = 0;

  /** @param shift a chunk holds 2^shift slots */
  constructor(wordsASlot: number, shift: number) {
    assert(wordsASlot % 2 === 0, "a slot must hold whole doubles", wordsASlot);
    this.wordsASlot = wordsASlot;
    this.shift = shift;
    this.mask = (1 << shift) - 1;
  }

  /** Slots in use. */
  get live(): number {
    return this.used - 1 - this.freeCount;
  }

  /** Bytes of all chunks. */
  get allocatedBytes(): number {
    return this.words.length * this.chunkBytes;
  }

  get chunkBytes(): number {
    return (this.wordsASlot * 4) << this.shift;
  }

  /** A slot; its words hold whatever was there. */
  allocate(): number {
    const slot = this.freeHead;
    if (slot !== 0) {
      this.freeHead = this.words[slot >>> this.shift][(slot & this.mask) * this.wordsASlot];
      this.freeCount--;
      return slot;
    }
    // Slot numbers are stored shifted left by one in tree entries.
    assert(this.used < 0x7fff_ffff, "slots exhausted", this.used);
    if (this.used >>> this.shift >= this.words.length) this.#addChunk();
    return this.used++;
  }

  free(slot: number): void {
    this.words[slot >>> this.shift][(slot & this.mask) * this.wordsASlot] = this.freeHead;
    this.freeHead = slot;
    this.freeCount++;
  }

  /** The memory of all slots given out, as one view a chunk; borrowed until the next write. */
  views(): Uint8Array[] {
    const slotBytes = this.wordsASlot * 4;
    return this.words.map((words, index) => {
      const slots = Math.min(this.mask + 1, this.used - (index << this.shift));
      return new Uint8Array(words.buffer, 0, Math.max(0, slots) * slotBytes);
    });
  }

  /** Number of chunks {@link views} has for `used` slots. */
  chunksFor(used: number): number {
    return used <= 1 ? 0 : ((used - 1) >>> this.shift) + 1;
  }

  /** Takes over what {@link views} gave; false if the lengths do not fit. The pool must be new. */
  load(views: readonly Uint8Array[], used: number, freeHead: number, freeCount: number): boolean {
    if (views.length !== this.chunksFor(used)) return false;
    for (const [index, view] of views.entries()) {
      const slots = Math.min(this.mask + 1, used - (index << this.shift));
      if (view.length !== slots * this.wordsASlot * 4) return false;
      this.#addChunk();
      new Uint8Array(this.words[index].buffer).set(view);
    }
    this.used = used;
    this.freeHead = freeHead;
    this.freeCount = freeCount;
    return true;
  }

  /** Back to a new pool. */
  reset(): void {
    this.words.length = this.doubles.length = 0;
    this.used = 1;
    this.freeHead = this.freeCount = 0;
  }

  #addChunk(): void {
    const buffer = new ArrayBuffer(this.chunkBytes);
    this.words.push(new Uint32Array(buffer));
    this.doubles.push(new Float64Array(buffer));
  }
}
