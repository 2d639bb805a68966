/**
 * From a batch of events to responses: who gets them, who has no credit for them. Both ways pass here, that of the watchers in
 * sync (a revision at a time) and that of those behind (a slice at a time).
 */
import type { EventBatch } from "./event-batch.ts";
import type { ResponseWriter } from "./response-writer.ts";
import { RESPONSE_OVERHEAD_BYTES, SHARED_EVENTS_BYTES_MAX } from "./watch-limits.ts";
import type { WatchRegistry } from "./watch-registry.ts";
import { FLAGS, ID_HIGH, ID_LOW, LIST_NEXT, STREAM, WATCHER_WORDS } from "./watcher-table.ts";
import { WatcherFlag } from "./watcher-flag.ts";

const ONLY_EVENT: readonly number[] = [0];

export class Delivery {
  readonly #registry: WatchRegistry;
  readonly #writer: ResponseWriter;
  readonly #fragmentBytes: number;
  readonly #long: number[] = [];

  /** @param fragmentBytes a response this long is split for watchers that asked for it */
  constructor(registry: WatchRegistry, writer: ResponseWriter, fragmentBytes: number) {
    this.#registry = registry;
    this.#writer = writer;
    this.#fragmentBytes = fragmentBytes;
  }

  /** Sends the batch's events, all of `revision`, to the watchers in sync of every interest that has a list. */
  toSynced(revision: number, batch: EventBatch): void {
    for (let i = 0; i < batch.interests.length; i++) {
      const interest = batch.interests[i];
      if (this.#registry.firstSynced(interest) !== 0)
        this.#interestSynced(revision, batch, interest, batch.lists[i]);
    }
  }

  /** The same for a revision of one event: `interests` want it. */
  oneToSynced(revision: number, batch: EventBatch, interests: readonly number[]): void {
    for (let i = 0; i < interests.length; i++)
      if (this.#registry.firstSynced(interests[i]) !== 0)
        this.#interestSynced(revision, batch, interests[i], ONLY_EVENT);
  }

  #interestSynced(revision: number, batch: EventBatch, interest: number, list: readonly number[]): void {
    const registry = this.#registry;
    const withPrevious = registry.wantsPrevious(interest);
    if (withPrevious && lacksPrevious(batch, list)) return this.#allBehind(interest, revision);
    const eventBytes = bytesOf(batch, list, 0, withPrevious);
    const shared = eventBytes <= SHARED_EVENTS_BYTES_MAX;
    const { watchers } = registry;
    const { next } = watchers;
    const words = watchers.slots.words;
    for (let watcher = registry.firstSynced(interest); watcher !== 0;) {
      const at = watcher * WATCHER_WORDS;
      const following = words[at + LIST_NEXT];
      if (next[watcher] <= revision) {
        const stream = registry.streamOf(watcher);
        if (stream.credit <= 0) registry.fallBehind(watcher, revision);
        else {
          stream.credit -= eventBytes + RESPONSE_OVERHEAD_BYTES;
          words[at + FLAGS] |= WatcherFlag.notified;
          if (shared) this.#writer.addTarget(words[at + STREAM], words[at + ID_LOW], words[at + ID_HIGH]);
          else this.#sendLong(watcher, revision, batch, list, 0, withPrevious);
        }
      }
      watcher = following;
    }
    if (this.#writer.targets > 0) this.#writer.share(revision, batch, list, 0, withPrevious, eventBytes);
  }

  /** Their events need previous values, which must be asked for: that is done behind. */
  #allBehind(interest: number, revision: number): void {
    const registry = this.#registry;
    const words = registry.watchers.slots.words;
    for (let watcher = registry.firstSynced(interest); watcher !== 0;) {
      const following = words[watcher * WATCHER_WORDS + LIST_NEXT];
      if (registry.watchers.next[watcher] <= revision) registry.fallBehind(watcher, revision);
      watcher = following;
    }
  }

  /**
   * Sends a slice of history, revisions up to `through`, to the watchers behind that take part in it. One without credit takes part
   * no longer.
   * @param revision for the headers: the store's
   */
  toBehind(revision: number, through: number, batch: EventBatch): void {
    for (let i = 0; i < batch.interests.length; i++)
      this.#interestBehind(revision, through, batch, batch.interests[i], batch.lists[i]);
  }

  #interestBehind(
    revision: number,
    through: number,
    batch: EventBatch,
    interest: number,
    list: readonly number[],
  ): void {
    const registry = this.#registry;
    const withPrevious = registry.wantsPrevious(interest);
    const eventBytes = bytesOf(batch, list, 0, withPrevious);
    const shared = eventBytes <= SHARED_EVENTS_BYTES_MAX;
    const { watchers } = registry;
    const words = watchers.slots.words;
    for (let watcher = registry.firstBehind(interest); watcher !== 0;) {
      const at = watcher * WATCHER_WORDS;
      const following = words[at + LIST_NEXT];
      if ((words[at + FLAGS] & WatcherFlag.inSlice) !== 0 && watchers.next[watcher] <= through) {
        const from = firstFrom(batch, list, watchers.next[watcher]);
        if (from < list.length && this.#pay(watcher, from === 0 ? eventBytes : -1, batch, list, from)) {
          if (from === 0 && shared)
            this.#writer.addTarget(words[at + STREAM], words[at + ID_LOW], words[at + ID_HIGH]);
          else this.#long.push(watcher);
        }
      }
      watcher = following;
    }
    if (this.#writer.targets > 0) this.#writer.share(revision, batch, list, 0, withPrevious, eventBytes);
    for (const watcher of this.#long) {
      const from = firstFrom(batch, list, watchers.next[watcher]);
      this.#sendAlone(watcher, revision, batch, list, from, withPrevious);
    }
    this.#long.length = 0;
  }

  /** False: the stream has no credit, and the watcher stays where it is. */
  #pay(
    watcher: number,
    eventBytes: number,
    batch: EventBatch,
    list: readonly number[],
    from: number,
  ): boolean {
    const registry = this.#registry;
    const { watchers } = registry;
    const stream = registry.streamOf(watcher);
    if (stream.credit <= 0) {
      watchers.setFlags(watcher, 0, WatcherFlag.inSlice);
      return false;
    }
    const withPrevious = (watchers.flags(watcher) & WatcherFlag.prevKv) !== 0;
    const bytes = eventBytes < 0 ? bytesOf(batch, list, from, withPrevious) : eventBytes;
    stream.credit -= bytes + RESPONSE_OVERHEAD_BYTES;
    watchers.setFlags(watcher, WatcherFlag.notified, 0);
    return true;
  }

  #sendAlone(
    watcher: number,
    revision: number,
    batch: EventBatch,
    list: readonly number[],
    from: number,
    withPrevious: boolean,
  ): void {
    const eventBytes = bytesOf(batch, list, from, withPrevious);
    if (eventBytes > SHARED_EVENTS_BYTES_MAX)
      return this.#sendLong(watcher, revision, batch, list, from, withPrevious);
    const words = this.#registry.watchers.slots.words;
    const at = watcher * WATCHER_WORDS;
    this.#writer.addTarget(words[at + STREAM], words[at + ID_LOW], words[at + ID_HIGH]);
    this.#writer.share(revision, batch, list, from, withPrevious, eventBytes);
  }

  /** A response that is too long to share, in fragments if the watcher takes them: etcd's rule, at least one event each. */
  #sendLong(
    watcher: number,
    revision: number,
    batch: EventBatch,
    list: readonly number[],
    from: number,
    withPrevious: boolean,
  ): void {
    const words = this.#registry.watchers.slots.words;
    const at = watcher * WATCHER_WORDS;
    const fragments = (words[at + FLAGS] & WatcherFlag.fragment) !== 0;
    const limit = fragments ? this.#fragmentBytes - RESPONSE_OVERHEAD_BYTES : Infinity;
    const watchId = (BigInt(words[at + ID_HIGH]) << 32n) | BigInt(words[at + ID_LOW] >>> 0);
    // What was paid for is one response of the events alone.
    let unpaid = -bytesOf(batch, list, from, withPrevious) - RESPONSE_OVERHEAD_BYTES;
    for (let first = from; first < list.length;) {
      let to = first + 1;
      let bytes = batch.fieldBytes(list[first], withPrevious);
      for (; to < list.length; to++) {
        const more = batch.fieldBytes(list[to], withPrevious);
        if (bytes + more >= limit) break;
        bytes += more;
      }
      const fragment = to < list.length;
      unpaid += RESPONSE_OVERHEAD_BYTES;
      unpaid += this.#writer.sendLong(
        words[at + STREAM],
        watchId,
        revision,
        batch,
        list,
        first,
        to,
        withPrevious,
        fragment,
      );
      first = to;
    }
    this.#registry.streamOf(watcher).credit -= unpaid;
  }
}

function lacksPrevious(batch: EventBatch, list: readonly number[]): boolean {
  for (let i = 0; i < list.length; i++) if (batch.lacksPrevious(list[i])) return true;
  return false;
}

function bytesOf(batch: EventBatch, list: readonly number[], from: number, withPrevious: boolean): number {
  let bytes = 0;
  for (let i = from; i < list.length; i++) bytes += batch.fieldBytes(list[i], withPrevious);
  return bytes;
}

/** Position of the first event of `revision` or later. */
function firstFrom(batch: EventBatch, list: readonly number[], revision: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (batch.revisions[list[middle]] < revision) low = middle + 1;
    else high = middle;
  }
  return low;
}
