import type { Call, CallWatcher, EndedCall } from "./service.ts";

/** Several watchers as the one that a transport has; each is told of what is slow by its own threshold. */
export class CallWatchers implements CallWatcher {
  readonly #watchers: readonly CallWatcher[];

  constructor(watchers: readonly CallWatcher[]) {
    this.#watchers = watchers;
  }

  thresholdMs(): number {
    let least = Infinity;
    for (const watcher of this.#watchers) least = Math.min(least, watcher.thresholdMs());
    return least;
  }

  onSlow(call: Call, ended: EndedCall): void {
    const tookMs = ended.endedMs - ended.startedMs;
    for (const watcher of this.#watchers) {
      if (tookMs > watcher.thresholdMs()) watcher.onSlow(call, ended);
    }
  }
}
