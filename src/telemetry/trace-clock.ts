/** Milliseconds of the system's monotonic clock, the same in all threads of this process; cheap after the first call. */
export function createTraceClock(): () => number {
  const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  return () => offsetMs + performance.now();
}
