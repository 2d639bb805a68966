/** Between two looks at one clock the thread may be off its core; so many are taken in search of two that follow each other. */
const LOOKS_MAX = 20;
/** Looks so far apart are as good as any, ms. */
const GAP_MS = 0.001;

/** Milliseconds of the system's monotonic clock, the same in all threads of this process to about a microsecond; cheap after the first call. */
export function createTraceClock(): () => number {
  let offsetMs = 0;
  let leastGapMs = Infinity;
  for (let looks = 0; looks < LOOKS_MAX && leastGapMs > GAP_MS; looks++) {
    const beforeMs = performance.now();
    const clockMs = Number(process.hrtime.bigint()) / 1e6;
    const gapMs = performance.now() - beforeMs;
    if (gapMs >= leastGapMs) continue;
    leastGapMs = gapMs;
    offsetMs = clockMs - beforeMs - gapMs / 2;
  }
  return () => offsetMs + performance.now();
}
