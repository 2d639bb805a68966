import { MemoryBatch, type MemoryEntry } from "../../../src/raft/core/memory-entry-store.ts";
import type { EntrySlice, RaftMessage } from "../../../src/raft/raft.ts";

/** A message as it lies on the network: it owns what the core's message only borrows. */
export interface TraceMessage extends Omit<RaftMessage, "entries"> {
  readonly entries: readonly MemoryEntry[];
  /** What a storage thread sends once it has done what this message asks for. */
  readonly responses: readonly TraceMessage[];
}

/** The storage threads of a member as senders and receivers of messages: etcd-io/raft's numbers for them. */
export const APPEND_THREAD = 2n ** 64n - 1n;
export const APPLY_THREAD = 2n ** 64n - 2n;

export function isThread(id: bigint): boolean {
  return id === APPEND_THREAD || id === APPLY_THREAD;
}

/** A message with everything else empty. */
export function traceMessage(parts: Partial<TraceMessage> & { type: number }): TraceMessage {
  return {
    to: 0n,
    from: 0n,
    term: 0,
    logTerm: 0,
    index: 0,
    commit: 0,
    vote: 0n,
    reject: false,
    rejectHint: 0,
    entries: [],
    context: null,
    snapshot: null,
    responses: [],
    ...parts,
  };
}

/** Copies what the core's message borrows. */
export function copyMessage(message: RaftMessage): TraceMessage {
  const context = message.context === null ? null : message.context.slice();
  return { ...message, entries: copyEntries(message.entries), context, responses: [] };
}

export function copyEntries(slices: readonly EntrySlice[]): MemoryEntry[] {
  return slices.flatMap(({ batch, from, count }) =>
    Array.from({ length: count }, (_, offset) => {
      const i = from + offset;
      const data = batch.bytes.slice(batch.dataStart(i), batch.dataEnd(i));
      return { index: batch.firstIndex + i, term: batch.term(i), type: batch.type(i), data };
    }),
  );
}

/** For the core to step. */
export function toRaftMessage(message: TraceMessage): RaftMessage {
  const { entries } = message;
  if (entries.length === 0) return { ...message, entries: [] };
  return { ...message, entries: [{ batch: new MemoryBatch(entries), from: 0, count: entries.length }] };
}
