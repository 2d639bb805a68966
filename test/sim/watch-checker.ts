/** What one watcher must be sent: every change that matches, once, in order, a revision whole; and nothing that is not true. */

import { type Event, Event_EventType } from "../../src/proto/gen/kv_pb.ts";
import {
  type CommittedEvent,
  type CommittedHistory,
  showDeletion,
  showKeyValue,
} from "./committed-history.ts";
import { InvariantError } from "./invariants.ts";

export interface WatchSpec {
  readonly key: string;
  /** As in the protocol: "" = this key alone, "\0" = from the key on, else up to here. */
  readonly end: string;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  readonly progressNotify: boolean;
  readonly fragment: boolean;
}

const text = new TextDecoder();

export class WatcherCheck {
  readonly spec: WatchSpec;
  /** Events received. */
  count = 0;
  readonly #name: string;
  readonly #history: CommittedHistory;
  /** Everything below has been received; 0 = where it begins is the server's choice, which has not been heard. */
  #next: number;

  constructor(name: string, history: CommittedHistory, spec: WatchSpec, startRevision: number) {
    this.#name = name;
    this.#history = history;
    this.spec = spec;
    this.#next = startRevision;
  }

  /** Where a new watcher has to begin so that nothing is missed; 0 = now. */
  get next(): number {
    return this.#next;
  }

  /** The member says that the watcher is there; its revision is the header's. */
  created(revision: number): void {
    if (this.#next === 0) this.#next = revision + 1;
  }

  /** A whole response, or all its fragments together. */
  events(headerRevision: number, events: readonly Event[]): void {
    let at = 0;
    while (at < events.length) {
      const revision = Number(events[at].kv?.modRevision ?? 0n);
      if (revision < this.#next)
        throw this.#error(`is sent revision ${revision} after everything below ${this.#next}`);
      if (revision > headerRevision)
        throw this.#error(`is sent revision ${revision} under revision ${headerRevision}`);
      const missing = this.#firstMatch(revision - 1);
      if (missing !== null) throw this.#error(`is sent revision ${revision}, but not "${missing.shown}"`);
      for (const expected of this.#history.events(revision)) {
        if (!this.#matches(expected)) continue;
        if (at === events.length) throw this.#error(`is sent only a part of revision ${revision}`);
        this.#compare(events[at++], expected);
        this.count++;
      }
      this.#next = revision + 1;
    }
  }

  /** The member says that nothing up to `revision` is missing. */
  progress(revision: number): void {
    const missing = this.#firstMatch(revision);
    if (missing !== null)
      throw this.#error(`hears of progress to ${revision}, but not of "${missing.shown}"`);
    this.#next = Math.max(this.#next, revision + 1);
  }

  /** The member has cancelled it, since what it wants is compacted. The client begins again there. */
  compacted(compactRevision: number): void {
    if (compactRevision > this.#history.compactRevision || this.#next >= compactRevision) {
      throw this.#error(
        `is cancelled at ${this.#next} by a compaction to ${compactRevision}; done is one to ${this.#history.compactRevision}`,
      );
    }
    this.#next = compactRevision;
  }

  /** The first event that is committed and was not received; null = complete. */
  missing(): CommittedEvent | null {
    return this.#next === 0 ? null : this.#firstMatch(this.#history.revision);
  }

  #firstMatch(until: number): CommittedEvent | null {
    for (let revision = this.#next; revision <= until; revision++) {
      for (const event of this.#history.events(revision)) if (this.#matches(event)) return event;
    }
    return null;
  }

  #matches({ key, tombstone }: CommittedEvent): boolean {
    const { spec } = this;
    if (tombstone ? spec.noDelete : spec.noPut) return false;
    if (spec.end === "") return key === spec.key;
    return key >= spec.key && (spec.end === "\0" || key < spec.end);
  }

  #compare({ type, kv, prevKv }: Event, expected: CommittedEvent): void {
    if (kv === undefined) throw this.#error("is sent an event of nothing");
    const isDeletion = type === Event_EventType.DELETE;
    const shown = isDeletion ? showDeletion(text.decode(kv.key), Number(kv.modRevision)) : showKeyValue(kv);
    if (shown !== expected.shown) throw this.#error(`is sent "${shown}" in the place of "${expected.shown}"`);
    const before = this.spec.prevKv ? expected.previous : null;
    const shownBefore = prevKv === undefined ? null : showKeyValue(prevKv);
    if (shownBefore === (before?.shown ?? null)) return;
    // What was there before may be compacted.
    if (shownBefore === null && expected.revision - 1 < this.#history.compactRevision) return;
    throw this.#error(`is sent "${shownBefore}" before "${shown}"; it was "${before?.shown}"`);
  }

  #error(what: string): InvariantError {
    const { key, end } = this.spec;
    return new InvariantError(`${this.#name} on [${JSON.stringify(key)}, ${JSON.stringify(end)}) ${what}`);
  }
}
