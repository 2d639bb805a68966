/**
 * The newest events in memory, as apply sent them: what storage has not committed must be read from here, and what it has
 * committed may be, as long as it is kept. Complete from one revision on, without gaps.
 *
 * A record: f64 revision, u32 flags, u32 length of the KeyValue, u32 length of the previous one, both. Chunks, so that the oldest
 * can go without moving anything.
 */
import { WatchEventFlag } from "../ring/record-types.ts";
import { modRevisionBytes, writeModRevision } from "./event-view.ts";
import { WINDOW_BYTES_KEPT, WINDOW_CHUNK_BYTES, WINDOW_CHUNKS_POOLED } from "./watch-limits.ts";

const RECORD_HEAD_BYTES = 20;

interface Chunk {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  used: number;
  lastRevision: number;
}

/** An event in the window; one object, filled again and again. The bytes stay valid until the window forgets the event. */
export interface WindowEvent {
  revision: number;
  tombstone: boolean;
  bytes: Uint8Array;
  start: number;
  end: number;
  /** Whether the previous value was looked up; it is empty if there is none. */
  prevKnown: boolean;
  prevStart: number;
  prevEnd: number;
}

/** False ends the walk before the event. */
export type WindowVisitor = (event: WindowEvent) => boolean;

export class EventWindow {
  /** Every event of a revision above this one is here. */
  after = 0;
  #chunks: Chunk[] = [];
  readonly #pool: Chunk[] = [];
  #bytes = 0;
  readonly #bytesKept: number;
  readonly #event: WindowEvent = {
    revision: 0,
    tombstone: false,
    bytes: new Uint8Array(0),
    start: 0,
    end: 0,
    prevKnown: false,
    prevStart: 0,
    prevEnd: 0,
  };

  constructor(bytesKept = WINDOW_BYTES_KEPT) {
    this.#bytesKept = bytesKept;
  }

  /** Memory of the events. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Forgets everything: it is complete above `revision` from now on. */
  reset(revision: number): void {
    // Not into the pool: a slice of catching up may still borrow their bytes.
    this.#chunks = [];
    this.#bytes = 0;
    this.after = revision;
  }

  /** Takes the event in; `bytes[start, kvEnd)` is its KeyValue (of a tombstone the key alone), `bytes[kvEnd, end)` the previous one. */
  add(
    revision: number,
    flags: number,
    bytes: Uint8Array,
    start: number,
    kvEnd: number,
    end: number,
  ): WindowEvent {
    const tombstone = (flags & WatchEventFlag.tombstone) !== 0;
    const kvBytes = kvEnd - start + (tombstone ? modRevisionBytes(revision) : 0);
    const chunk = this.#room(RECORD_HEAD_BYTES + kvBytes + end - kvEnd);
    const at = chunk.used;
    chunk.view.setFloat64(at, revision, true);
    chunk.view.setUint32(at + 8, flags, true);
    chunk.view.setUint32(at + 12, kvBytes, true);
    chunk.view.setUint32(at + 16, end - kvEnd, true);
    const kvAt = at + RECORD_HEAD_BYTES;
    chunk.bytes.set(bytes.subarray(start, kvEnd), kvAt);
    if (tombstone) writeModRevision(chunk.bytes, kvAt + kvEnd - start, revision);
    if (end > kvEnd) chunk.bytes.set(bytes.subarray(kvEnd, end), kvAt + kvBytes);
    chunk.used = kvAt + kvBytes + end - kvEnd;
    chunk.lastRevision = revision;
    return this.#read(chunk, at);
  }

  /** Hands over the events of revisions from `revision` on, in order. */
  scan(revision: number, visit: WindowVisitor): void {
    for (const chunk of this.#chunks) {
      if (chunk.lastRevision < revision) continue;
      for (let at = 0; at < chunk.used;) {
        const event = this.#read(chunk, at);
        at = event.prevEnd;
        if (event.revision >= revision && !visit(event)) return;
      }
    }
  }

  /** Forgets the oldest events that storage has: revisions up to `committed`, beyond what is kept anyway. */
  trim(committed: number): void {
    let gone = 0;
    while (
      gone < this.#chunks.length - 1 &&
      this.#bytes > this.#bytesKept &&
      this.#chunks[gone].lastRevision <= committed
    ) {
      // The revision at the border may go on in the next chunk: from then on it is not complete here.
      this.after = this.#chunks[gone].lastRevision;
      this.#bytes -= this.#chunks[gone].bytes.length;
      this.#release(this.#chunks[gone++]);
    }
    if (gone > 0) this.#chunks.splice(0, gone);
  }

  #read(chunk: Chunk, at: number): WindowEvent {
    const event = this.#event;
    const flags = chunk.view.getUint32(at + 8, true);
    event.revision = chunk.view.getFloat64(at, true);
    event.tombstone = (flags & WatchEventFlag.tombstone) !== 0;
    event.prevKnown = (flags & WatchEventFlag.prevKnown) !== 0;
    event.bytes = chunk.bytes;
    event.start = at + RECORD_HEAD_BYTES;
    event.end = event.start + chunk.view.getUint32(at + 12, true);
    event.prevStart = event.end;
    event.prevEnd = event.end + chunk.view.getUint32(at + 16, true);
    return event;
  }

  /** The chunk that takes `bytes` more. */
  #room(bytes: number): Chunk {
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.used + bytes <= last.bytes.length) return last;
    const pooled = bytes <= WINDOW_CHUNK_BYTES ? this.#pool.pop() : undefined;
    const chunk = pooled ?? createChunk(Math.max(bytes, WINDOW_CHUNK_BYTES));
    this.#chunks.push(chunk);
    this.#bytes += chunk.bytes.length;
    return chunk;
  }

  #release(chunk: Chunk): void {
    if (chunk.bytes.length !== WINDOW_CHUNK_BYTES || this.#pool.length >= WINDOW_CHUNKS_POOLED) return;
    chunk.used = 0;
    chunk.lastRevision = 0;
    this.#pool.push(chunk);
  }
}

function createChunk(length: number): Chunk {
  const bytes = new Uint8Array(length);
  return { bytes, view: new DataView(bytes.buffer), used: 0, lastRevision: 0 };
}
