/** Alarm requests: the entry's action on the set of alarms, and its answer. */

import { assert } from "../base/assert.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { WireReader } from "../proto/wire.ts";
import { type AlarmMember, type Alarms, AlarmType, encodeAlarmMember } from "./alarms.ts";
import type { BucketSink } from "./apply-interfaces.ts";

/** Position of `alarm` in storage's BUCKETS. */
const ALARM_BUCKET = 8;
const NO_VALUE = new Uint8Array(0);

/** etcdserverpb.AlarmRequest.AlarmAction */
export const AlarmAction = { get: 0, activate: 1, deactivate: 2 } as const;

/** etcdserverpb.AlarmRequest */
export interface AlarmRequest extends AlarmMember {
  /** An {@link AlarmAction}. */
  readonly action: number;
}

export class AlarmApplier {
  readonly alarms: Alarms;
  readonly #buckets: BucketSink;

  constructor(alarms: Alarms, buckets: BucketSink) {
    this.alarms = alarms;
    this.#buckets = buckets;
  }

  /**
   * Applies a committed AlarmRequest; returns whether the set has changed, and the alarms of the answer: those asked for, or the one
   * that the request was about.
   */
  apply(
    bytes: Uint8Array,
    start: number,
    end: number,
  ): { readonly changed: boolean; readonly answer: AlarmMember[] } {
    const request = decodeAlarmRequest(bytes, start, end);
    assert(request !== null, "a committed alarm request can be decoded");
    const { action, memberId, type } = request;
    const alarm = { memberId, type };
    switch (action) {
      case AlarmAction.get:
        return { changed: false, answer: this.alarms.list(type) };
      case AlarmAction.activate: {
        if (type === AlarmType.none) break;
        const changed = this.alarms.activate(alarm);
        if (changed) this.#buckets.bucketPut(ALARM_BUCKET, encodeAlarmMember(alarm), NO_VALUE);
        return { changed, answer: [alarm] };
      }
      case AlarmAction.deactivate: {
        if (!this.alarms.deactivate(alarm)) break;
        this.#buckets.bucketDelete(ALARM_BUCKET, encodeAlarmMember(alarm));
        return { changed: true, answer: [alarm] };
      }
      default:
    }
    return { changed: false, answer: [] };
  }
}

/** AlarmRequest {1 action, 2 memberID, 3 alarm}; null when malformed. */
export function decodeAlarmRequest(bytes: Uint8Array, start: number, end: number): AlarmRequest | null {
  const reader = new WireReader();
  let action = 0;
  let memberId = 0n;
  let type = 0;
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) action = reader.int32();
    else if (tag === 0x10) {
      reader.varint();
      memberId = (BigInt(reader.high) << 32n) | BigInt(reader.low);
    } else if (tag === 0x18) type = reader.int32();
    else reader.skip(tag);
  }
  return reader.failed ? null : { action, memberId, type };
}

/** Writes an AlarmRequest. */
export function encodeAlarmRequest({ action, memberId, type }: AlarmRequest): Uint8Array {
  return new MessageBuilder().number(1, action).uint64(2, memberId).number(3, type).finish();
}

/** Field 2 of AlarmResponse {1 header, 2 alarms}, as often as there are alarms. */
export function encodeAlarmFields(alarms: readonly AlarmMember[]): Uint8Array {
  const builder = new MessageBuilder();
  for (const alarm of alarms) builder.bytes(2, encodeAlarmMember(alarm));
  return builder.finish();
}
