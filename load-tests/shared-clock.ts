/** A clock that all threads of this process read alike, for latencies from one thread to another. */

const PAIRS = 50;

// performance.now() begins at 0 in every thread; both it and hrtime follow the system's monotonic clock.
const offset = measureOffset();

/** Milliseconds since some moment that is the same in every thread. */
export function sharedNow(): number {
  return performance.now() + offset;
}

/** Of several readings the one that was least interrupted: a thread may lose its core between two calls. */
function measureOffset(): number {
  let best = { width: Infinity, offset: 0 };
  for (let i = 0; i < PAIRS; i++) {
    const before = hrtimeMs();
    const now = performance.now();
    const after = hrtimeMs();
    if (after - before < best.width) best = { width: after - before, offset: (before + after) / 2 - now };
  }
  return best.offset;
}

function hrtimeMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}
