import { RateBudget } from "../base/rate-budget.ts";
import { describeRaftRequest, describeRequest } from "../proto/describe-request.ts";
import { RaftField } from "../proto/raft-request.ts";
import { ReadKind } from "../ring/record-types.ts";

/** Of what was slow, this much is told in a second: lines go through main's event loop, and must not flood it. */
const LINES_PER_SECOND_MAX = 100;

/** What took long: an entry, or a client's read. */
export interface SlowApply {
  readonly tookMs: number;
  /** etcd's word for what it was; empty for an entry. */
  readonly prefix: string;
  /** As etcd shows it (`describeRequest`). */
  readonly request: string;
  /** ErrorId that it was answered. */
  readonly errorId: number;
}

/** How it ended, and when, of the loop's clock. */
export type SlowOutcome = Pick<SlowApply, "tookMs" | "errorId"> & { readonly nowMs: number };

/** Puts what was slow into words, a limited number in a second. */
export class SlowApplies {
  readonly #onSlow: (slow: SlowApply) => void;
  readonly #budget = new RateBudget(LINES_PER_SECOND_MAX);

  constructor(onSlow: (slow: SlowApply) => void) {
    this.#onSlow = onSlow;
  }

  /** The entry `bytes[start, end)`, borrowed. */
  tellEntry(bytes: Uint8Array, start: number, end: number, { nowMs, tookMs, errorId }: SlowOutcome): void {
    if (!this.#budget.take(nowMs)) return;
    this.#onSlow({ tookMs, prefix: "", request: describeRaftRequest(bytes, start, end), errorId });
  }

  /** The read `bytes[start, end)`, borrowed, of a ReadKind that clients ask for. */
  tellRead(
    kind: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    { nowMs, tookMs, errorId }: SlowOutcome,
  ): void {
    if (!this.#budget.take(nowMs)) return;
    const [prefix, field] =
      kind === ReadKind.range ? ["read-only range ", RaftField.range] : ["read-only txn ", RaftField.txn];
    this.#onSlow({ tookMs, prefix, request: describeRequest(field, bytes, start, end), errorId });
  }
}
