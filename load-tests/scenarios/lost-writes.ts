/** Compares what clients were told with what a member's history holds. */
import type { Operation } from "../../test/sim/linearizability.ts";
import type { SeenEvent } from "../../test/support/resumed-watch.ts";

/** A change that was acknowledged. */
export interface AcknowledgedWrite {
  readonly revision: number;
  readonly key: string;
  /** Null if it deleted the key. */
  readonly value: string | null;
}

/** The changes among the operations of a history that were acknowledged, in no order. */
export function acknowledgedWrites(history: readonly Operation[]): AcknowledgedWrite[] {
  return history.flatMap(({ op, key, input, output }) => {
    const changed = output !== null && (op === "put" || (op !== "get" && output.succeeded === true));
    if (!changed || output.revision === undefined) return [];
    return [{ revision: output.revision, key, value: op === "delete" ? null : (input.value ?? null) }];
  });
}

/** Those of `writes` that `events`, the whole history of a member's keys, do not show at their revision with their value. */
export function lostWrites(
  writes: readonly AcknowledgedWrite[],
  events: readonly SeenEvent[],
): AcknowledgedWrite[] {
  const byRevision = new Map(events.map((event) => [event.revision, event]));
  return writes.filter(({ revision, key, value }) => {
    const event = byRevision.get(revision);
    return event?.key !== key || (event.isDelete ? null : event.value) !== value;
  });
}
