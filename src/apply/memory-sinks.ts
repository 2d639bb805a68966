/** In-memory twins of what the apply layer writes to, for tests and the simulator. */
import { assert } from "../base/assert.ts";
import type { BucketSink, ResponseSink } from "./apply-interfaces.ts";

/** One answer: whole, failed, or in progress. */
export interface MemoryAnswer {
  errorId: number;
  /** The message so far. */
  bytes: Uint8Array;
  /** Length announced by streamHead, -1 if it came whole. */
  announced: number;
}

/** Keeps answers by request id. */
export class MemoryResponseSink implements ResponseSink {
  bytes = new Uint8Array(64 * 1024);
  readonly reserveBytesMax = 1024 * 1024;
  readonly answers = new Map<number, MemoryAnswer>();
  /** What {@link hasRoom} says. */
  room = true;
  /** Longest piece of a streamed answer. */
  pieceBytesMax = 0;

  reserve(length: number): number {
    assert(length <= this.reserveBytesMax, "reserve beyond its limit", length);
    if (this.bytes.length < length) this.bytes = new Uint8Array(length);
    return 0;
  }

  commit(requestId: number, length: number): void {
    this.respond(requestId, this.bytes, 0, length);
  }

  respond(requestId: number, bytes: Uint8Array, start: number, end: number): void {
    this.#add(requestId, { errorId: 0, bytes: bytes.slice(start, end), announced: -1 });
  }

  fail(requestId: number, errorId: number): void {
    this.#add(requestId, { errorId, bytes: new Uint8Array(0), announced: -1 });
  }

  streamHead(requestId: number, totalBytes: number): void {
    const bytes = new Uint8Array(new ArrayBuffer(totalBytes), 0, 0);
    this.#add(requestId, { errorId: 0, bytes, announced: totalBytes });
  }

  streamData(requestId: number, bytes: Uint8Array, start: number, end: number): void {
    const answer = this.answers.get(requestId);
    assert(answer !== undefined && answer.announced >= 0, "data of a stream that has no head", requestId);
    const received = answer.bytes.length + end - start;
    assert(received <= answer.announced, "more data than announced", received, answer.announced);
    const whole = new Uint8Array(answer.bytes.buffer, 0, received);
    whole.set(bytes.subarray(start, end), answer.bytes.length);
    answer.bytes = whole;
    this.pieceBytesMax = Math.max(this.pieceBytesMax, end - start);
  }

  hasRoom(): boolean {
    return this.room;
  }

  /** Removes and returns an answer, which must be there. */
  take(requestId: number): MemoryAnswer {
    const answer = this.answers.get(requestId);
    assert(answer !== undefined, "no answer", requestId);
    this.answers.delete(requestId);
    return answer;
  }

  #add(requestId: number, answer: MemoryAnswer): void {
    assert(!this.answers.has(requestId), "two answers to one request", requestId);
    this.answers.set(requestId, answer);
  }
}

/** Keeps bucket changes as readable lines, and the tokens of flushes. */
export class MemoryBucketSink implements BucketSink {
  readonly changes: string[] = [];
  readonly flushes: number[] = [];

  bucketPut(bucket: number, key: Uint8Array, value: Uint8Array): void {
    this.changes.push(`put ${bucket} ${text(key)} ${hex(value)}`);
  }

  bucketDelete(bucket: number, key: Uint8Array): void {
    this.changes.push(`delete ${bucket} ${text(key)}`);
  }

  flush(token: number): void {
    this.flushes.push(token);
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
