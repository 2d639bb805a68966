/**
 * Which calls are traced, as etcd's sampler decides: whoever has a parent does what the parent does; of the others a share, by trace
 * id, so that everybody who samples traces by that rule and share decides alike.
 */

import { TRACE_CONTEXT_BYTES } from "../ring/trace.ts";

const PER_MILLION = 1_000_000;
/** Samplers by trace id compare 63 bits of its second half with the share: `random()` gives the upper 52 of them. */
const RATIO_BITS = 2 ** 52;
/** And another draw the rest. */
const LOWEST_BITS = 2 ** 12;
const RATIO_AT = 8;

/** Decides for calls without parent. */
export class RootSampler {
  readonly #share: number;
  readonly #random: () => number;

  /**
   * @param ratePerMillion 0 to 1,000,000
   * @param random uniform in [0, 1), as `Math.random`
   */
  constructor(ratePerMillion: number, random: () => number) {
    this.#share = ratePerMillion / PER_MILLION;
    this.#random = random;
  }

  /** A new trace with the id of its first span, or null: not sampled. */
  sample(): Uint8Array | null {
    if (this.#share === 0) return null;
    const position = this.#random();
    if (position >= this.#share) return null;
    const context = new Uint8Array(TRACE_CONTEXT_BYTES);
    for (let at = 0; at < TRACE_CONTEXT_BYTES; at++) context[at] = Math.floor(this.#random() * 256);
    // The decision can be read from the id, as samplers elsewhere read it: bits 1 to 63 of the second half.
    const lowest = BigInt(Math.floor(this.#random() * LOWEST_BITS));
    const bits = (BigInt(Math.floor(position * RATIO_BITS)) << 12n) | lowest;
    new DataView(context.buffer).setBigUint64(RATIO_AT, bits);
    context[TRACE_CONTEXT_BYTES - 1] |= 1;
    return context;
  }
}

/** The id of a new span in the trace of `parent`. */
export function childContext(parent: Uint8Array, random: () => number): Uint8Array {
  const context = new Uint8Array(parent);
  for (let at = 16; at < TRACE_CONTEXT_BYTES; at++) context[at] = Math.floor(random() * 256);
  context[TRACE_CONTEXT_BYTES - 1] |= 1;
  return context;
}
