/**
 * What alarms and quota forbid at apply, in etcd's order: under CORRUPT nothing of the data may change or be read through the
 * log; under NOSPACE nothing that takes space is applied; without an alarm, what does not fit any more is applied, since other
 * members may have room and all must do the same, but is answered "no space", and the alarm is asked for.
 *
 * Alarms are the cluster's, so what they refuse every member refuses. The size is this member's alone.
 */

import { ErrorId } from "../base/errors.ts";
import { RaftField } from "../proto/raft-request.ts";
import { type Alarms, AlarmType } from "./alarms.ts";
import { costBound, requestCost } from "./request-cost.ts";

/** Fields that CORRUPT refuses. */
const DATA_FIELDS: ReadonlySet<number> = new Set([
  RaftField.range,
  RaftField.put,
  RaftField.deleteRange,
  RaftField.txn,
  RaftField.compaction,
  RaftField.leaseGrant,
  RaftField.leaseRevoke,
]);

export class ApplyGate {
  readonly #alarms: Alarms;
  /** Infinity without a quota. */
  readonly #quotaBytes: number;
  #inUseBytes = 0;
  #corrupt = false;
  #noSpace = false;
  /** Up to so much every request passes without a closer look; -1 while an alarm is active. */
  #freeBytes = Infinity;

  /** @param quotaBytes `--quota-backend-bytes`; 0 or less = none */
  constructor(alarms: Alarms, quotaBytes: number) {
    this.#alarms = alarms;
    this.#quotaBytes = quotaBytes > 0 ? quotaBytes : Infinity;
    this.alarmsChanged();
  }

  /** Whether a request of so many bytes needs {@link refusal} and {@link excess} to be asked. */
  isNarrow(bytes: number): boolean {
    return costBound(bytes) >= this.#freeBytes;
  }

  /** What storage has committed takes so many bytes. */
  noteSize(inUseBytes: number): void {
    this.#inUseBytes = inUseBytes;
    this.#measure();
  }

  alarmsChanged(): void {
    this.#corrupt = this.#alarms.has(AlarmType.corrupt);
    this.#noSpace = this.#alarms.has(AlarmType.noSpace);
    this.#measure();
  }

  /** The error with which the request in `bytes[start, end)` is refused, on every member; 0 = it is applied. */
  refusal(field: number, bytes: Uint8Array, start: number, end: number): number {
    if (this.#corrupt && DATA_FIELDS.has(field)) return ErrorId.corrupt;
    if (this.#noSpace && requestCost(field, bytes, start, end) > 0) return ErrorId.noSpace;
    return ErrorId.none;
  }

  /** What a request that is applied takes, if that is more than this member has room for; 0 = there is room. */
  excess(field: number, bytes: Uint8Array, start: number, end: number): number {
    const cost = requestCost(field, bytes, start, end);
    return this.#inUseBytes + cost >= this.#quotaBytes ? cost : 0;
  }

  #measure(): void {
    this.#freeBytes = this.#corrupt || this.#noSpace ? -1 : this.#quotaBytes - this.#inUseBytes;
  }
}
