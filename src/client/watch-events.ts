/** Watches as {@link Etcd} gives them. */
import { Event_EventType } from "../proto/gen/kv_pb.ts";
import { Entry, entryOf } from "./entry.ts";
import type { Watcher } from "./watcher.ts";

/** One change of one key. */
export interface WatchEvent {
  readonly type: "put" | "delete";
  /** The key after the change; of a deleted one only key and `modRevision` are there. */
  readonly entry: Entry;
  /** What it was before, where that was asked for and it was there. */
  readonly previous: Entry | null;
}

/**
 * A watch: iterate over it once. Every change comes once and in order, also over lost connections. The iteration ends after
 * {@link cancel}, and throws EtcdError when the watch cannot go on (WatchCanceledError: what it wants is compacted).
 */
export class Watch implements AsyncIterable<WatchEvent>, AsyncDisposable {
  /** Resolves when the cluster knows the watch: what is written from then on will come. Rejects as the iteration does. */
  readonly started: Promise<void>;
  readonly #watcher: Watcher;

  constructor(watcher: Watcher) {
    this.#watcher = watcher;
    this.started = watcher.created.then(() => undefined);
    this.started.catch(() => undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchEvent, void, undefined> {
    for await (const { events } of this.#watcher) {
      for (const { type, kv, prevKv } of events) {
        if (kv === undefined) continue;
        yield {
          type: type === Event_EventType.DELETE ? "delete" : "put",
          entry: new Entry(kv),
          previous: entryOf(prevKv),
        };
      }
    }
  }

  /** Ends it, here and at the server. */
  cancel(): void {
    this.#watcher.cancel();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.cancel();
    return Promise.resolve();
  }
}
