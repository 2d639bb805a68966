/** Progress notifications: by the clock for watchers that asked, and by hand for a whole stream. */
import type { Prng } from "../base/prng.ts";
import type { ResponseWriter } from "./response-writer.ts";
import { NO_WATCH_ID } from "./response-writer.ts";
import { PROGRESS_DEBT_MAX, PROGRESS_GRANULARITY_MS, RESPONSE_OVERHEAD_BYTES } from "./watch-limits.ts";
import type { WatchRegistry } from "./watch-registry.ts";
import type { WatchStream } from "./watch-stream.ts";
import { FLAGS, ID_HIGH, ID_LOW, STREAM_NEXT, WATCHER_WORDS } from "./watcher-table.ts";
import { WatcherFlag } from "./watcher-flag.ts";

const NOT_IN_SYNC = WatcherFlag.behind | WatcherFlag.compacted;

export interface ProgressOptions {
  readonly registry: WatchRegistry;
  readonly writer: ResponseWriter;
  /** `--watch-progress-notify-interval`; each stream adds up to a tenth, so that they do not all come at once. */
  readonly intervalMs: number;
  readonly prng: Prng;
}

export class Progress {
  readonly #options: ProgressOptions;
  readonly #streams = new Set<WatchStream>();
  /** When to look at the streams again. */
  #dueMs = Infinity;

  constructor(options: ProgressOptions) {
    this.#options = options;
  }

  /** Milliseconds until there is something to send; Infinity if never. */
  sleepMs(nowMs: number): number {
    return Math.max(0, this.#dueMs - nowMs);
  }

  /** A watcher of the stream wants notifications. The stream's clock began with the stream. */
  add(stream: WatchStream, nowMs: number): void {
    if (this.#streams.has(stream)) return;
    this.#streams.add(stream);
    const { intervalMs, prng } = this.#options;
    stream.progressPeriodMs = intervalMs + (intervalMs / 10) * (prng.nextUint32() / 2 ** 32);
    stream.progressDueMs = nowMs + stream.progressPeriodMs;
    this.#dueMs = Math.min(this.#dueMs, stream.progressDueMs);
  }

  remove(stream: WatchStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size === 0) this.#dueMs = Infinity;
  }

  /** Sends what is due. `revision`: every event up to it was sent to those in sync. */
  tick(nowMs: number, revision: number): void {
    if (nowMs < this.#dueMs) return;
    let dueMs = Infinity;
    for (const stream of this.#streams) {
      if (stream.progressDueMs <= nowMs) {
        this.#notify(stream, revision);
        stream.progressDueMs += stream.progressPeriodMs;
        // Ticks that a stalled thread has missed are not made up for.
        if (stream.progressDueMs <= nowMs) stream.progressDueMs = nowMs + stream.progressPeriodMs;
      }
      dueMs = Math.min(dueMs, stream.progressDueMs);
    }
    // Many streams: not one walk over all of them for each.
    this.#dueMs = Math.max(dueMs, nowMs + PROGRESS_GRANULARITY_MS);
    if (this.#streams.size === 0) this.#dueMs = Infinity;
  }

  /** Each watcher that asked and has had no events since the last tick. */
  #notify(stream: WatchStream, revision: number): void {
    const { registry, writer } = this.#options;
    const words = registry.watchers.slots.words;
    if (stream.progressWatchers === 0) return;
    for (
      let watcher = stream.behindHead;
      watcher !== 0;
      watcher = words[watcher * WATCHER_WORDS + STREAM_NEXT]
    )
      words[watcher * WATCHER_WORDS + FLAGS] &= ~WatcherFlag.notified;
    let watcher = stream.head;
    for (; watcher !== 0; watcher = words[watcher * WATCHER_WORDS + STREAM_NEXT]) {
      const at = watcher * WATCHER_WORDS;
      const flags = words[at + FLAGS];
      if ((flags & WatcherFlag.progress) === 0) continue;
      words[at + FLAGS] &= ~WatcherFlag.notified;
      if ((flags & WatcherFlag.notified) !== 0 || !this.#isCurrent(watcher, revision)) continue;
      if (!pay(stream)) return;
      const watchId = (BigInt(words[at + ID_HIGH]) << 32n) | BigInt(words[at + ID_LOW] >>> 0);
      writer.control(stream.number, { watchId, revision });
    }
  }

  /** Manual progress: one answer for the stream, if all its watchers are in sync; else none. */
  request(stream: WatchStream, revision: number): void {
    const { registry, writer } = this.#options;
    const words = registry.watchers.slots.words;
    if (stream.head === 0 || stream.behindHead !== 0) return;
    let watcher = stream.head;
    for (; watcher !== 0; watcher = words[watcher * WATCHER_WORDS + STREAM_NEXT])
      if (!this.#isCurrent(watcher, revision)) return;
    if (pay(stream)) writer.control(stream.number, { watchId: NO_WATCH_ID, revision });
  }

  /** In sync, and not waiting for a revision of the future. */
  #isCurrent(watcher: number, revision: number): boolean {
    const { watchers } = this.#options.registry;
    const flags = watchers.flags(watcher);
    if ((flags & NOT_IN_SYNC) !== 0) return false;
    return (flags & WatcherFlag.future) === 0 || watchers.next[watcher] <= revision;
  }
}

/** False: the client has not read for long, and gets no notifications on top. */
function pay(stream: WatchStream): boolean {
  if (stream.credit <= -PROGRESS_DEBT_MAX) return false;
  stream.credit -= RESPONSE_OVERHEAD_BYTES;
  return true;
}
