/** Trace contexts of sampled entries, and of reads, beside the entries of a message: they are no part of the log, and may be left out anywhere. */

import type { RaftMessage } from "./raft.ts";

/** The context of one entry of a message. */
export interface MessageTrace {
  /** Which entry, from 0; of reads the one that names their round. */
  readonly position: number;
  /** Trace id and span id, `TRACE_CONTEXT_BYTES`; what the receiver does is part of that span. */
  readonly context: Uint8Array;
}

/** Contexts that a message carries at most. */
export const MESSAGE_TRACES_MAX = 256;

/** Term of the entry at `position` of a message, 0 if it has fewer. */
export function termInMessage({ entries }: RaftMessage, position: number): number {
  let before = 0;
  for (const { batch, from, count } of entries) {
    if (position < before + count) return batch.term(from + position - before);
    before += count;
  }
  return 0;
}

/** The message for somebody who would not know what they are. */
export function withoutTraces(message: RaftMessage): RaftMessage {
  const { traces: _, ...plain } = message;
  return plain;
}
