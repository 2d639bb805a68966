/** Puts that go on while something else is done to a member: what the writers notice of it. */
import { generate, type GeneratorResult } from "./generator.ts";
import { keyName, putRequest } from "./requests.ts";
import type { LoadTarget } from "./side.ts";

const PUT_KEYS = 10_000;
const PUT_STREAMS = 10;

/** Prefix of the keys that the writers put, unless they are told another. */
export const BESIDE_PREFIX = "beside/";

/** Ten writers on one connection, each one Put at a time, for so many seconds or until `signal`. */
export function putsFor(
  side: LoadTarget,
  seconds: number,
  options: { signal?: AbortSignal; prefix?: string } = {},
): Promise<GeneratorResult> {
  const { signal, prefix = BESIDE_PREFIX } = options;
  let index = 0;
  const next = () => putRequest(keyName(prefix, index++ % PUT_KEYS));
  return generate({
    address: side.address,
    connections: 1,
    streams: PUT_STREAMS,
    seconds,
    script: () => ({ next }),
    ...(signal && { signal }),
  });
}

/** Runs `work` beside writers. */
export async function besidePuts<T>(
  side: LoadTarget,
  work: () => Promise<T>,
  options: { prefix?: string } = {},
): Promise<{ result: T; puts: GeneratorResult; seconds: number }> {
  const stop = new AbortController();
  const puts = putsFor(side, Infinity, { ...options, signal: stop.signal });
  const startedAt = performance.now();
  // Writers that fail end it, too: the work would be measured without them.
  const failed = new Promise<never>((_, reject) => void puts.catch(reject));
  const result = await Promise.race([work(), failed]).finally(() => stop.abort());
  const seconds = (performance.now() - startedAt) / 1000;
  return { result, puts: await puts, seconds };
}
