/**
 * The interfaces of a ring, written once for the shared-memory ring and its in-memory twin.
 *
 * A ring carries records from one producer thread to one consumer thread, in order, without loss:
 * `u32 length, u16 type, u16 flags, u64 request id`, then the payload, 8-byte aligned.
 * Read next: `record-types.ts` (what travels where), `shared-ring.ts` (the memory layout), `doorbell.ts` (who wakes whom).
 */

/** Producer side. Only one thread may hold it. */
export interface RingWriter {
  /**
   * Makes room for one record with a payload of `length` bytes. Returns the offset in {@link bytes} at which the caller
   * writes the payload, or -1 when the ring has no room now (nothing is changed then).
   * `length` must be at most {@link inlineBytesMax}; use {@link write} for payloads that may be longer.
   */
  reserve(length: number): number;
  /** The memory that {@link reserve} points into. */
  readonly bytes: Uint8Array;
  /** A view of the same memory for multi-byte stores. */
  readonly view: DataView;
  /** Longest payload that {@link reserve} takes: a quarter of the ring. */
  readonly inlineBytesMax: number;
  /** Completes the record begun by {@link reserve}; `length` may be shorter than what was reserved. */
  commit(type: number, flags: number, requestId: number, length: number): void;
  /**
   * Copies a whole payload in, in numbered parts when it is longer than {@link inlineBytesMax}. Returns false, with nothing
   * written, when there is no room. A payload longer than half the ring never fits: see {@link payloadBytesMax} and {@link writeOn}.
   */
  write(
    type: number,
    flags: number,
    requestId: number,
    payload: Uint8Array,
    start: number,
    end: number,
  ): boolean;
  /** Longest payload that {@link write} can ever take. */
  readonly payloadBytesMax: number;
  /**
   * Goes on with a payload of any length, of which everything before `at` has been written (begin with `at` = `start`): as many parts
   * as there is room for. Returns where the rest begins, `end` when nothing is left. Until then nothing else may be written to the
   * ring; room for `min(inlineBytesMax, end - at)` is room for the next part.
   */
  writeOn(
    type: number,
    flags: number,
    requestId: number,
    payload: Uint8Array,
    start: number,
    end: number,
    at: number,
  ): number;
  /**
   * Length of the payload at `offset`, as {@link reserve} returned it for this record, or -1 when newer ones have taken its place. For
   * a look back; the consumer has long freed it.
   */
  recall(offset: number, type: number, requestId: number): number;
  /** Makes all committed records visible to the consumer and wakes it if it sleeps. Once a batch, not once a record. */
  publish(): void;
  /** The same without waking it: for records that may wait until it is awake anyway. A wait for room still wakes it. */
  publishQuietly(): void;
  /** {@link publish} that also ends a nap of the consumer: what was committed must not wait for long. */
  publishUrgently(): void;
  /** Records were committed since the last publish. */
  readonly hasUnpublished: boolean;
  /** Bytes that can be reserved now without waiting. */
  freeBytes(): number;
  /** Sleeps until a payload of `length` bytes fits. For workers only: the main thread never blocks. */
  waitForRoom(length: number): void;
  /** Resolves when a payload of `length` bytes fits: for threads that keep their event loop. One such wait a ring at a time. */
  roomAvailable(length: number): Promise<void>;
}

/**
 * Called once a record. `bytes` is borrowed until the call returns; the payload is `bytes[start, end)`.
 * Handlers are one long-lived function a thread, never a closure a batch.
 */
export type RecordHandler = (
  type: number,
  flags: number,
  requestId: number,
  bytes: Uint8Array,
  start: number,
  end: number,
) => void;

/** Consumer side. Only one thread may hold it. */
export interface RingReader {
  /**
   * Hands up to `recordsMax` published records to `handler`, then frees their room in one step. Returns how many.
   * If the handler throws, the record it threw on stays consumed. The handler must not drain the same ring.
   */
  drain(handler: RecordHandler, recordsMax: number): number;
  /** Called by the handler: the drain under way ends behind this record, since it made more work than others. */
  endDrain(): void;
  /** True when nothing is published that was not drained. */
  isEmpty(): boolean;
}

/** Counters of one ring; each side writes its own. */
export interface RingStats {
  /** What fits. */
  capacityBytes: number;
  /** What waits now. */
  depthBytes: number;
  /** Most bytes ever waiting. */
  depthBytesMax: number;
  /** How often the producer found no room. */
  fullWaits: number;
  /** How often a publish had to wake a sleeping consumer. */
  wakeUps: number;
  /** Records published since the start. */
  records: number;
}
