/** Bounded polling, for states that send no event. */

// Short enough that a ready member is seen at once, long enough that polling is not the machine's main work.
const POLL_MS = 5;

/** Polls until `probe` returns something other than undefined; throws after `boundMs` with what was awaited. */
export async function waitFor<T>(
  what: string,
  boundMs: number,
  probe: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + boundMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`waited ${boundMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
