/**
 * Deadlines of all calls of a transport: a ring of slots, each a linked list through the calls themselves, so that a call costs two
 * pointer writes and no timer. One timer runs while any deadline is set. A deadline beyond one turn stays in its slot
 * and is looked at again each turn.
 */

/** How late a deadline may be noticed. */
const SLOT_MS = 10;
/** One turn is about five seconds: most deadlines of etcd clients lie within. Power of two. */
const SLOTS = 512;

/** Something with a deadline. The links belong to the wheel. */
export interface DeadlineEntry {
  /** Absolute, in ms of the transport's clock. Must not change while in the wheel. */
  readonly deadlineMs: number;
  deadlineNext: DeadlineEntry | null;
  deadlinePrevious: DeadlineEntry | null;
  /** Slot, or -1 outside the wheel. */
  deadlineSlot: number;
  /** The deadline has passed; the entry has left the wheel. */
  onDeadline(): void;
}

export class DeadlineWheel {
  readonly #slots: (DeadlineEntry | null)[] = new Array<DeadlineEntry | null>(SLOTS).fill(null);
  /** Entries in the wheel. */
  size = 0;
  /** Every slot before this turn-free tick has been swept. */
  #sweptTick = 0;

  /** Adds an entry that is not in the wheel; a deadline that has passed is due at the next {@link sweep}. */
  add(entry: DeadlineEntry, nowMs: number): void {
    if (this.size === 0) this.#sweptTick = Math.floor(nowMs / SLOT_MS);
    // A slot is swept when its whole span has passed, so an entry in it is due by then.
    const tick = Math.max(this.#sweptTick, Math.floor(entry.deadlineMs / SLOT_MS));
    const slot = tick & (SLOTS - 1);
    const first = this.#slots[slot];
    entry.deadlineNext = first;
    entry.deadlinePrevious = null;
    entry.deadlineSlot = slot;
    if (first !== null) first.deadlinePrevious = entry;
    this.#slots[slot] = entry;
    this.size++;
  }

  /** Removes an entry if it is in the wheel. */
  remove(entry: DeadlineEntry): void {
    if (entry.deadlineSlot < 0) return;
    if (entry.deadlinePrevious === null) this.#slots[entry.deadlineSlot] = entry.deadlineNext;
    else entry.deadlinePrevious.deadlineNext = entry.deadlineNext;
    if (entry.deadlineNext !== null) entry.deadlineNext.deadlinePrevious = entry.deadlinePrevious;
    entry.deadlineNext = entry.deadlinePrevious = null;
    entry.deadlineSlot = -1;
    this.size--;
  }

  /** Calls `onDeadline` of everything due at `nowMs`. Entries may be added and removed meanwhile. */
  sweep(nowMs: number): void {
    const nowTick = Math.floor(nowMs / SLOT_MS);
    if (nowTick - this.#sweptTick > SLOTS) this.#sweptTick = nowTick - SLOTS;
    while (this.#sweptTick < nowTick && this.size > 0) {
      const slot = this.#sweptTick++ & (SLOTS - 1);
      this.#sweepSlot(slot, nowMs);
    }
  }

  #sweepSlot(slot: number, nowMs: number): void {
    // What is due is first taken out, as its handlers may change the list.
    let due: DeadlineEntry[] | null = null;
    for (let entry = this.#slots[slot]; entry !== null; entry = entry.deadlineNext) {
      if (entry.deadlineMs <= nowMs) (due ??= []).push(entry);
    }
    if (due === null) return;
    for (const entry of due) {
      if (entry.deadlineSlot !== slot) continue;
      this.remove(entry);
      entry.onDeadline();
    }
  }
}

/** How often {@link DeadlineWheel.sweep} is worth calling. */
export const DEADLINE_SWEEP_MS = SLOT_MS;
