import { assert } from "../base/assert.ts";
import type { Call } from "../grpc/service.ts";

const CAPACITY_FIRST = 4096;
/** Length of the table at most. With more than half as many requests in progress, new ones may be refused. */
export const PENDING_REQUESTS_MAX = 1 << 20;
/** No offset in a ring: those are aligned. */
const NO_PLACE = 0xffff_ffff;

/**
 * Requests that wait for an answer, by request id. Ids grow by one, so a power-of-two array indexed by the id's low bits
 * replaces a map: no hashing, no allocation a request. An id whose slot is taken by a slow request is passed over; the table
 * grows when more than half of it is in use.
 */
export class PendingRequests {
  #calls: Array<Call | null>;
  #ids: Float64Array;
  #startedMs: Float64Array;
  /** Where the request lies in the ring that took it; kept until the slot is taken again. */
  #places: Uint32Array;
  #types: Uint8Array;
  /** The type of the request that was taken out last. */
  takenType = 0;
  #mask: number;
  /** Every id below has left the table. */
  #oldestId: number;
  #nextId: number;
  #size = 0;
  /** When the call came that {@link remove} gave out last. */
  removedStartedMs = 0;

  /** @param firstId etcd's request id suffix: below 2^48, and beyond every id of earlier lives of this member */
  constructor(firstId: number) {
    this.#calls = Array.from({ length: CAPACITY_FIRST }, () => null);
    this.#ids = new Float64Array(CAPACITY_FIRST);
    this.#startedMs = new Float64Array(CAPACITY_FIRST);
    this.#places = new Uint32Array(CAPACITY_FIRST);
    this.#types = new Uint8Array(CAPACITY_FIRST);
    this.#mask = CAPACITY_FIRST - 1;
    this.#oldestId = firstId;
    this.#nextId = firstId;
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Takes a call in; returns its request id, or -1 when {@link PENDING_REQUESTS_MAX} is reached.
   * @param type any byte, kept for {@link takenType}
   */
  add(call: Call, nowMs: number, type = 0): number {
    let id = this.#nextId;
    let slot = this.#slotOf(id);
    while (this.#calls[slot] !== null) {
      // A slow request in a table with room: its ids are passed over, or it alone would hold up all that come.
      if (this.#size <= this.#mask >>> 1) id++;
      else if (!this.#grow()) return -1;
      slot = this.#slotOf(id);
    }
    this.#nextId = id + 1;
    this.#calls[slot] = call;
    this.#ids[slot] = id;
    this.#startedMs[slot] = nowMs;
    this.#places[slot] = NO_PLACE;
    this.#types[slot] = type;
    this.#size++;
    return id;
  }

  /** Notes where the request just added lies in its ring. */
  notePlace(id: number, offset: number): void {
    this.#places[this.#slotOf(id)] = offset;
  }

  /** That place, also when the request has left the table; -1 when it is not known, or not any more. */
  placeOf(id: number): number {
    const slot = this.#slotOf(id);
    return this.#ids[slot] === id && this.#places[slot] !== NO_PLACE ? this.#places[slot] : -1;
  }

  /** Gives an id away that is no request's. */
  skipId(): number {
    return this.#nextId++;
  }

  /** Takes a call out; null when it was answered, cancelled or timed out. */
  remove(id: number): Call | null {
    const slot = this.#slotOf(id);
    const call = this.#calls[slot];
    if (call === null || this.#ids[slot] !== id) return null;
    this.#calls[slot] = null;
    this.#size--;
    this.removedStartedMs = this.#startedMs[slot];
    this.takenType = this.#types[slot];
    return call;
  }

  /** Hands over and removes all calls that came in before `startedBeforeMs`, oldest first. */
  expire(startedBeforeMs: number, visit: (call: Call, id: number, startedMs: number) => void): void {
    while (this.#oldestId < this.#nextId) {
      const slot = this.#slotOf(this.#oldestId);
      const call = this.#calls[slot];
      const present = call !== null && this.#ids[slot] === this.#oldestId;
      if (present && this.#startedMs[slot] >= startedBeforeMs) return;
      this.#oldestId++;
      if (!present) continue;
      this.#calls[slot] = null;
      this.#size--;
      this.removedStartedMs = this.#startedMs[slot];
      this.takenType = this.#types[slot];
      visit(call, this.#oldestId - 1, this.#startedMs[slot]);
    }
  }

  #slotOf(id: number): number {
    return (id >>> 0) & this.#mask;
  }

  #grow(): boolean {
    const capacity = (this.#mask + 1) * 2;
    if (capacity > PENDING_REQUESTS_MAX) return false;
    const calls: Array<Call | null> = Array.from({ length: capacity }, () => null);
    const ids = new Float64Array(capacity);
    const startedMs = new Float64Array(capacity);
    const places = new Uint32Array(capacity).fill(NO_PLACE);
    const types = new Uint8Array(capacity);
    for (let old = 0; old <= this.#mask; old++) {
      const call = this.#calls[old];
      if (call === null) continue;
      const slot = (this.#ids[old] >>> 0) & (capacity - 1);
      assert(calls[slot] === null, "two pending requests in one slot", slot);
      calls[slot] = call;
      ids[slot] = this.#ids[old];
      startedMs[slot] = this.#startedMs[old];
      places[slot] = this.#places[old];
      types[slot] = this.#types[old];
    }
    this.#calls = calls;
    this.#ids = ids;
    this.#startedMs = startedMs;
    this.#places = places;
    this.#types = types;
    this.#mask = capacity - 1;
    return true;
  }
}
