import type { NodeSet } from "./node-set.ts";
import type { AckedIndexes } from "./quorum.ts";

/**
 * Draws how far each voter is, one line each, for traces and logs. The bar's length is the number of voters that are behind; `?` has not
 * reported.
 *
 * ```
 *        idx
 * >       12    (id=1)
 * x>      13    (id=2)
 * ```
 */
export function describeAcked(voters: NodeSet, acked: AckedIndexes): string {
  if (voters.size === 0) return "<empty majority quorum>";
  const indexes = voters.ids.map((id) => Math.max(acked.ackedIndex(id), 0));
  const lines = voters.ids.map((id, i) => {
    const index = indexes[i];
    const bar = indexes.filter((other) => other < index).length;
    const drawn =
      acked.ackedIndex(id) < 0
        ? `?${" ".repeat(voters.size)}`
        : `${"x".repeat(bar)}>${" ".repeat(voters.size - bar)}`;
    return `${drawn} ${String(index).padStart(5)}    (id=${id})\n`;
  });
  return `${" ".repeat(voters.size)}    idx\n${lines.join("")}`;
}
