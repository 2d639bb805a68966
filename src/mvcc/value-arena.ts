/**
 * Encoded KeyValues in memory: a queue of chunks. Values are appended at the head; when the budget is used up, the oldest chunk
 * is taken over for the newest values, whatever it holds. So eviction needs no bookkeeping: a location is a position that
 * only grows, and it is in memory as long as it is not behind the tail.
 *
 *        tail                            committed up to here           head
 *     ----|--- chunk --|--- chunk ---|--- chunk ---|--- chunk ---|--- chun
 *      reused at will                              may not be reused yet
 *
 * A chunk that holds a value which storage has not committed is never reused: then the arena grows beyond its budget, and
 * gives the memory back when storage has caught up.
 */
import { assert } from "../base/assert.ts";

/** 1 MiB: small beside any budget, large beside most values. A longer value gets a chunk of its own length. */
export const VALUE_CHUNK_BYTES = 1 << 20;

/**
 * Chunks that may be in use from the first uncommitted one on when one more is opened for values that were read, and not more than a
 * quarter of the budget: behind an uncommitted value none can be reused, and all of them count as uncommitted.
 */
const READ_CHUNKS_MAX = 16;

/** Not in memory. */
export const NOT_IN_MEMORY = -1;

export class ValueArena {
  readonly chunkBytes: number;
  readonly #bytesMax: number;
  readonly #readChunksMax: number;
  /** Chunk number n lies at n & mask. A long chunk takes several numbers, of which only the first holds memory. */
  #chunks: Array<Uint8Array | undefined> = new Array<undefined>(16);
  /** Newest revision in each chunk, for those appended by a write; 0 = nothing uncommitted. */
  #newest: number[] = new Array<number>(16).fill(0);
  #mask = 15;
  /** Numbers of the first chunk in memory, the first that may hold uncommitted values, and the one behind the last. */
  #tail = 0;
  #uncommitted = 0;
  #head = 0;
  /** Number of the last chunk, the only one that is appended to. */
  #last = 0;
  /** Bytes used of the last chunk, and its length; no chunk at all at first. */
  #used = 0;
  #capacity = 0;
  #committedMain = 0;
  #newestMain = 0;
  allocatedBytes = 0;
  /** After {@link allocate}: memory and offset of the new value. */
  memory: Uint8Array = new Uint8Array(0);
  offset = 0;

  /** @param chunkBytes smaller in tests only */
  constructor(bytesMax: number, chunkBytes: number = VALUE_CHUNK_BYTES) {
    this.chunkBytes = chunkBytes;
    this.#bytesMax = Math.max(bytesMax, 2 * chunkBytes);
    this.#readChunksMax = Math.min(READ_CHUNKS_MAX, Math.ceil(this.#bytesMax / (4 * chunkBytes)));
  }

  /** Whether `location` is still in memory. */
  has(location: number): boolean {
    return location >= this.#tail * this.chunkBytes;
  }

  /** The memory that holds `location`, at offset `location % chunkBytes`. Borrowed until the next allocate. */
  memoryOf(location: number): Uint8Array {
    return this.#chunks[Math.floor(location / this.chunkBytes) & this.#mask] as Uint8Array;
  }

  /**
   * Room for `bytes`: leaves {@link memory} and {@link offset}, returns the location.
   * @param main revision of a new write, which storage has to commit before the memory is reused; 0 for committed bytes
   */
  allocate(bytes: number, main: number): number {
    if (this.#used + bytes > this.#capacity) this.#openChunk(bytes);
    const chunk = this.#last;
    if (main > 0) {
      this.#newest[chunk & this.#mask] = main;
      this.#newestMain = main;
    }
    this.memory = this.#chunks[chunk & this.#mask] as Uint8Array;
    this.offset = this.#used;
    this.#used += bytes;
    return chunk * this.chunkBytes + this.offset;
  }

  /** Whether there is room for `bytes` that were read from storage: without it they stay there, or memory would grow until it commits. */
  mayTakeBack(bytes: number): boolean {
    if (this.#newestMain <= this.#committedMain || this.#used + bytes <= this.#capacity) return true;
    return this.#head - this.#uncommitted < this.#readChunksMax;
  }

  /** Storage has committed everything up to revision `main`. */
  committed(main: number): void {
    assert(main >= this.#committedMain, "storage's committed revision went back", main, this.#committedMain);
    this.#committedMain = main;
    this.#advance(this.#last);
    while (this.allocatedBytes > this.#bytesMax && this.#canDropTail()) this.#dropTail();
  }

  /** Moves the mark over committed chunks, up to chunk `limit`. */
  #advance(limit: number): void {
    const main = this.#committedMain;
    while (this.#uncommitted < limit && this.#newest[this.#uncommitted & this.#mask] <= main)
      this.#uncommitted++;
  }

  /** Bytes that storage has not committed, counted in whole chunks. */
  get uncommittedBytes(): number {
    if (this.#newestMain <= this.#committedMain) return 0;
    return (this.#head - this.#uncommitted) * this.chunkBytes;
  }

  /** The last chunk is appended to, so the mark never passes it and it always stays. */
  #canDropTail(): boolean {
    return this.#tail < this.#uncommitted;
  }

  #dropTail(): Uint8Array | undefined {
    const memory = this.#chunks[this.#tail & this.#mask];
    this.#chunks[this.#tail & this.#mask] = undefined;
    this.#tail++;
    this.allocatedBytes -= memory?.length ?? 0;
    return memory;
  }

  #openChunk(bytes: number): void {
    const length = Math.max(this.chunkBytes, bytes);
    let memory: Uint8Array | undefined;
    // The chunk that was the last may be committed already.
    const last = this.#head;
    this.#advance(last);
    while (this.allocatedBytes + length > this.#bytesMax && this.#canDropTail()) {
      const dropped = this.#dropTail();
      if (dropped?.length === length) memory = dropped;
    }
    memory ??= new Uint8Array(length);
    const numbers = Math.ceil(length / this.chunkBytes);
    while (this.#head + numbers - this.#tail > this.#mask + 1) this.#growDirectory();
    this.#chunks[this.#head & this.#mask] = memory;
    for (let number = this.#head; number < this.#head + numbers; number++)
      this.#newest[number & this.#mask] = 0;
    this.#last = last;
    this.#head += numbers;
    this.allocatedBytes += length;
    this.#used = 0;
    this.#capacity = length;
  }

  #growDirectory(): void {
    const mask = this.#mask * 2 + 1;
    const chunks = new Array<Uint8Array | undefined>(mask + 1);
    const newest = new Array<number>(mask + 1).fill(0);
    for (let number = this.#tail; number < this.#head; number++) {
      chunks[number & mask] = this.#chunks[number & this.#mask];
      newest[number & mask] = this.#newest[number & this.#mask];
    }
    this.#chunks = chunks;
    this.#newest = newest;
    this.#mask = mask;
  }
}
