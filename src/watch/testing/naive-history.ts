/** What watchers must see, kept the simplest way: every change of every revision, with what was there before. */
import type { WatchHarness } from "./watch-harness.ts";

export interface NaiveEvent {
  readonly revision: number;
  readonly type: "put" | "delete";
  readonly key: string;
  readonly value: string;
  readonly version: number;
  readonly created: number;
  /** Value and revision of what the key was before this revision. */
  readonly previous: { readonly value: string; readonly revision: number } | null;
}

interface Live {
  value: string;
  created: number;
  version: number;
  revision: number;
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

export type Change = { put: string; value: string } | { delete: string; end: string | null };

export class NaiveHistory {
  readonly events: NaiveEvent[] = [];
  revision = 1;
  compactRevision = -1;
  readonly #live = new Map<string, Live>();
  readonly #harness: WatchHarness;

  constructor(harness: WatchHarness) {
    this.#harness = harness;
  }

  /** Does the changes in one txn, here and in the harness. A key may be changed once. */
  txn(changes: readonly Change[]): void {
    const before = this.events.length;
    const revision = this.revision + 1;
    this.#harness.txn(() => {
      for (const change of changes) {
        if ("put" in change) this.#put(revision, change.put, change.value);
        else this.#delete(revision, change.delete, change.end);
      }
    });
    if (this.events.length > before) this.revision = revision;
  }

  #put(revision: number, key: string, value: string): void {
    const live = this.#live.get(key);
    const next: Live = {
      value,
      revision,
      created: live?.created ?? revision,
      version: (live?.version ?? 0) + 1,
    };
    this.#live.set(key, next);
    const previous = live === undefined ? null : { value: live.value, revision: live.revision };
    const { created, version } = next;
    this.events.push({ revision, type: "put", key, value, created, version, previous });
    this.#harness.put(encode(key), encode(value));
  }

  #delete(revision: number, key: string, end: string | null): void {
    const keys = [...this.#live.keys()].filter((each) => covers(key, end, each)).sort();
    for (const each of keys) {
      const live = this.#live.get(each) as Live;
      this.#live.delete(each);
      const previous = { value: live.value, revision: live.revision };
      this.events.push({
        revision,
        type: "delete",
        key: each,
        value: "",
        created: 0,
        version: 0,
        previous,
      });
    }
    const rangeEnd = end === null ? null : end === "" ? Uint8Array.of(0) : encode(end);
    this.#harness.store.deleteRange({ key: encode(key), end: rangeEnd });
  }

  compact(revision: number): void {
    this.compactRevision = revision;
    this.#harness.compact(revision);
  }
}

/** Whether [key, end) holds `each`: null = the single key, empty = no end. */
export function covers(key: string, end: string | null, each: string): boolean {
  if (end === null) return each === key;
  return each >= key && (end === "" || each < end);
}
