/**
 * How a thread is: its CPU time, heap, garbage collections, and how long what arrives may have to wait for it. Each thread writes
 * its own block of shared memory, which main reads at a scrape.
 *
 * It costs a thread that is idle nothing: nothing here wakes anybody, but for one last look after work has ended.
 */
import { constants, type PerformanceEntry, PerformanceObserver } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import { openMeters } from "../src/base/meters.ts";
import { VITALS_LAYOUT, type VitalsMeters } from "../src/base/thread-meters.ts";

/** What an entry of type `gc` is. */
type GcEntry = PerformanceEntry & { readonly detail: { readonly kind: number } };

/** Between two looks at CPU time and heap: 10 us each. */
const LOOK_INTERVAL_MS = 1000;

export class ThreadVitals {
  readonly #meters: VitalsMeters;
  readonly #collections: PerformanceObserver;
  #lookedMs = -Infinity;
  /** Work was done since the last look. */
  #isStale = false;

  /** Of the thread that calls this, into `memory`. */
  constructor(memory: SharedArrayBuffer) {
    this.#meters = openMeters(VITALS_LAYOUT, memory);
    this.#collections = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) this.#collected(entry as GcEntry);
    });
    this.#collections.observe({ entryTypes: ["gc"] });
  }

  /** A timer of the thread's event loop ran `lateMs` after its time. */
  timerLate(lateMs: number): void {
    this.#meters.loopDelay.observe(Math.max(0, lateMs) / 1000);
  }

  /** A round over the rings ended at `nowMs`, and found something to do. */
  turned(tookMs: number): void {
    this.#meters.turn.observe(tookMs / 1000);
    this.#isStale = true;
  }

  /** Looks at CPU time and heap if the last look is long enough ago; true if it did. */
  lookIfDue(nowMs: number): boolean {
    if (nowMs - this.#lookedMs < LOOK_INTERVAL_MS) return false;
    this.#lookedMs = nowMs;
    this.look();
    return true;
  }

  /** Milliseconds until a look is due that shows what was done last; Infinity if it is shown already. */
  untilLookMs(nowMs: number): number {
    return this.#isStale ? Math.max(0, this.#lookedMs + LOOK_INTERVAL_MS - nowMs) : Infinity;
  }

  /** Counts no more collections: for a thread that goes on without what this belongs to. */
  close(): void {
    this.#collections.disconnect();
  }

  look(): void {
    this.#isStale = false;
    const { user, system } = process.threadCpuUsage();
    const { used_heap_size: used, total_heap_size: size } = getHeapStatistics();
    this.#meters.cpuSeconds.set((user + system) / 1e6);
    this.#meters.heapUsedBytes.set(used);
    this.#meters.heapSizeBytes.set(size);
  }

  #collected({ duration, detail }: GcEntry): void {
    const { gcMinor, gcMajor } = this.#meters;
    const isMinor = detail.kind === constants.NODE_PERFORMANCE_GC_MINOR;
    (isMinor ? gcMinor : gcMajor).observe(duration / 1000);
  }
}
