/** A broken invariant. The thread that sees one dies, and the process with it: the WAL makes that safe. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/**
 * Throws {@link AssertionError} unless `condition` holds. For invariants only, never for input.
 * @param values printed behind the message, so that both sides of a comparison are seen
 */
export function assert(condition: boolean, message: string, ...values: unknown[]): asserts condition {
  if (!condition)
    throw new AssertionError(values.length === 0 ? message : `${message}: ${values.map(String).join(", ")}`);
}
