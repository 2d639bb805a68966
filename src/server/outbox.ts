import type { CallTrace } from "../grpc/service.ts";
import { FLAG_TRACED } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import { TRACE_PREFIX_BYTES, writePrefix } from "../ring/trace.ts";

/**
 * Most bytes that wait in main for room in one ring. Sockets are paused as soon as anything waits, so this holds what had
 * been read already: a few socket buffers, or one large message a connection.
 */
export const OUTBOX_BYTES_MAX = 256 * 1024 * 1024;

interface QueuedRecord {
  type: number;
  flags: number;
  requestId: number;
  payload: Uint8Array;
}

/**
 * Main's way into a ring. Main never blocks: records that find no room wait here, in order, while the sockets that feed the
 * ring are paused, until the consumer has made room.
 */
export class Outbox {
  readonly ring: RingWriter;
  readonly #onFull: (full: boolean) => void;
  readonly #onFailure: (error: unknown) => void;
  #queue: QueuedRecord[] = [];
  #queuedBytes = 0;
  #publishScheduled = false;

  /**
   * @param onFull called with true when the first record has to wait, with false once none waits any more
   * @param onFailure called when waiting for room fails, which is a broken invariant
   */
  constructor(ring: RingWriter, onFull: (full: boolean) => void, onFailure: (error: unknown) => void) {
    this.ring = ring;
    this.#onFull = onFull;
    this.#onFailure = onFailure;
  }

  /** As {@link RingWriter.reserve}, but -1 also while earlier records wait or when the payload needs parts: then use {@link write}. */
  reserve(length: number): number {
    if (this.#queue.length > 0 || length > this.ring.inlineBytesMax) return -1;
    return this.ring.reserve(length);
  }

  /** Completes {@link reserve}. */
  commit(type: number, requestId: number, length: number): void {
    this.ring.commit(type, 0, requestId, length);
    this.#schedulePublish();
  }

  /**
   * Sends or queues a record; takes the payload over. Returns false when even the queue is full.
   * @param trace of a sampled call: its context goes in front of the payload
   */
  write(type: number, requestId: number, payload: Uint8Array, trace: CallTrace | null = null): boolean {
    if (trace !== null) return this.#write(type, FLAG_TRACED, requestId, withPrefix(payload, trace));
    return this.#write(type, 0, requestId, payload);
  }

  #write(type: number, flags: number, requestId: number, payload: Uint8Array): boolean {
    if (this.#queue.length === 0 && this.ring.write(type, flags, requestId, payload, 0, payload.length)) {
      this.#schedulePublish();
      return true;
    }
    if (this.#queuedBytes + payload.length > OUTBOX_BYTES_MAX) return false;
    this.#queue.push({ type, flags, requestId, payload });
    this.#queuedBytes += payload.length;
    if (this.#queue.length === 1) {
      this.#onFull(true);
      this.#drainQueue().catch(this.#onFailure);
    }
    return true;
  }

  async #drainQueue(): Promise<void> {
    while (this.#queue.length > 0) {
      await this.ring.roomAvailable(this.#queue[0].payload.length);
      let sent = 0;
      for (; sent < this.#queue.length; sent++) {
        const { type, flags, requestId, payload } = this.#queue[sent];
        if (!this.ring.write(type, flags, requestId, payload, 0, payload.length)) break;
        this.#queuedBytes -= payload.length;
      }
      this.#queue.splice(0, sent);
      this.ring.publish();
    }
    this.#onFull(false);
  }

  /** One publish for all that the sockets delivered in this turn of the event loop. */
  #schedulePublish(): void {
    if (this.#publishScheduled) return;
    this.#publishScheduled = true;
    setImmediate(this.#publish);
  }

  readonly #publish = (): void => {
    this.#publishScheduled = false;
    this.ring.publish();
  };
}

function withPrefix(payload: Uint8Array, trace: CallTrace): Uint8Array {
  const record = new Uint8Array(TRACE_PREFIX_BYTES + payload.length);
  writePrefix(record, 0, trace.context, trace.nowMs());
  record.set(payload, TRACE_PREFIX_BYTES);
  return record;
}
