/**
 * Events on their way to watchers: those of one revision, or of one slice of history, with the list of events of each interest.
 * The bytes are borrowed from where the events lie (the window, a slice's own buffer); the arrays are used again and again.
 */
import type { BatchNumber, WatchRegistry } from "./watch-registry.ts";
import { KeyValueView, eventFieldBytes, writeEvent, writePrevious } from "./event-view.ts";

/** What is known of an event's previous value: nothing; else it has one or none. */
export const PREVIOUS_UNKNOWN = -1;

export class EventBatch {
  /** Events in it. */
  length = 0;
  /** By event: its revision, and where its KeyValue lies. */
  readonly revisions: number[] = [];
  readonly #tombstones: boolean[] = [];
  readonly #bytes: Uint8Array[] = [];
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  /** By event: where its previous value lies; start {@link PREVIOUS_UNKNOWN}, or an empty range for none. */
  readonly #prevBytes: Uint8Array[] = [];
  readonly #prevStarts: number[] = [];
  readonly #prevEnds: number[] = [];
  /** Interests that have a list; that of the interest at i is `lists[i]`, its events ascending. */
  readonly interests: number[] = [];
  readonly lists: number[][] = [];
  readonly #registry: WatchRegistry;
  readonly #number: BatchNumber;
  readonly #view = new KeyValueView();

  constructor(registry: WatchRegistry, number: BatchNumber) {
    this.#registry = registry;
    this.#number = number;
  }

  /** Adds an event whose previous value is unknown; returns its number. */
  add(revision: number, tombstone: boolean, bytes: Uint8Array, start: number, end: number): number {
    const event = this.length++;
    this.revisions[event] = revision;
    this.#tombstones[event] = tombstone;
    this.#bytes[event] = bytes;
    this.#starts[event] = start;
    this.#ends[event] = end;
    this.#prevBytes[event] = bytes;
    this.#prevStarts[event] = PREVIOUS_UNKNOWN;
    this.#prevEnds[event] = PREVIOUS_UNKNOWN;
    return event;
  }

  /**
   * Says where the previous value lies; an empty range: there is none. A creation has none, also if the key was there before and
   * the creating transaction had deleted it: so it is in etcd.
   */
  setPrevious(event: number, bytes: Uint8Array, start: number, end: number): void {
    this.#prevBytes[event] = bytes;
    this.#prevStarts[event] = start;
    this.#prevEnds[event] = end > start && this.#isCreation(event) ? start : end;
  }

  #isCreation(event: number): boolean {
    if (this.#tombstones[event]) return false;
    return this.#view.isCreation(this.#bytes[event], this.#starts[event], this.#ends[event]);
  }

  /** The event belongs to the interest's list. Events of a list come in order. */
  addTo(interest: number, event: number): void {
    let position = this.#registry.batch(interest, this.#number) - 1;
    if (position < 0) {
      position = this.interests.push(interest) - 1;
      if (position === this.lists.length) this.lists.push([]);
      this.#registry.setBatch(interest, this.#number, position + 1);
    }
    this.lists[position].push(event);
  }

  /** Whether a watcher with prev_kv cannot be sent the event before its previous value is known. */
  lacksPrevious(event: number): boolean {
    if (this.#prevStarts[event] !== PREVIOUS_UNKNOWN) return false;
    return !this.#isCreation(event);
  }

  /** Where the KeyValue of an event lies. */
  bytes(event: number): Uint8Array {
    return this.#bytes[event];
  }

  start(event: number): number {
    return this.#starts[event];
  }

  end(event: number): number {
    return this.#ends[event];
  }

  isTombstone(event: number): boolean {
    return this.#tombstones[event];
  }

  /** The key of an event, borrowed. */
  key(event: number): Uint8Array {
    const bytes = this.#bytes[event];
    this.#view.findKey(bytes, this.#starts[event], this.#ends[event]);
    return bytes.subarray(this.#view.keyStart, this.#view.keyEnd);
  }

  /** Bytes of the event as a field of WatchResponse. */
  fieldBytes(event: number, withPrevious: boolean): number {
    const kvBytes = this.#ends[event] - this.#starts[event];
    return eventFieldBytes(this.#tombstones[event], kvBytes, withPrevious ? this.#previousBytes(event) : -1);
  }

  /** Writes that field; returns the offset behind it. */
  write(event: number, withPrevious: boolean, target: Uint8Array, offset: number): number {
    const prevBytes = withPrevious ? this.#previousBytes(event) : -1;
    const at = writeEvent(
      target,
      offset,
      this.#tombstones[event],
      this.#bytes[event],
      this.#starts[event],
      this.#ends[event],
      prevBytes,
    );
    if (prevBytes < 0) return at;
    return writePrevious(target, at, this.#prevBytes[event], this.#prevStarts[event], this.#prevEnds[event]);
  }

  /** -1 if there is none: a creation has none, whatever was looked up. */
  #previousBytes(event: number): number {
    const bytes = this.#prevEnds[event] - this.#prevStarts[event];
    return bytes === 0 ? -1 : bytes;
  }

  /** Empties it. The interests that have lists may have gone meanwhile. */
  clear(): void {
    for (let i = 0; i < this.interests.length; i++) {
      this.#registry.setBatch(this.interests[i], this.#number, 0);
      this.lists[i].length = 0;
    }
    this.interests.length = 0;
    // What is borrowed must not live longer than the events.
    this.#bytes.length = this.#prevBytes.length = 0;
    this.length = 0;
  }
}
