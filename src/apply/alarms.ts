/**
 * The alarms of the cluster: a set of (member, type) that only entries of the log change, so it is the same on every member.
 * Owned by the apply thread; main has a copy ({@link decodeAlarms}). What they forbid: `apply-gate.ts`.
 */

import { MessageBuilder } from "../proto/message-builder.ts";
import { WireReader } from "../proto/wire.ts";

/** etcdserverpb.AlarmType */
export const AlarmType = { none: 0, noSpace: 1, corrupt: 2 } as const;

/** Names of the types, by number. */
export const ALARM_NAMES: readonly string[] = ["NONE", "NOSPACE", "CORRUPT"];

/** An alarm of one member; member 0 is the whole cluster, where nobody knows who it is. */
export interface AlarmMember {
  readonly memberId: bigint;
  /** An {@link AlarmType}. */
  readonly type: number;
}

const ALARM_BYTES = 12;
const TAG_MEMBER = 0x08;
const TAG_TYPE = 0x10;

export class Alarms {
  /** By type, then in the order in which they were raised. */
  #active: AlarmMember[] = [];

  /** Fills the set from bucket `alarm`, whose keys are the alarms. Throws when one cannot be read. */
  restore(pairs: ReadonlyArray<{ readonly key: Uint8Array }>): void {
    this.#active = pairs.map(({ key }) => {
      const alarm = decodeAlarmMember(key, 0, key.length);
      if (alarm === null) throw new Error("a record in bucket alarm is damaged");
      return alarm;
    });
  }

  /** All of one type, or all ({@link AlarmType.none}), by type and member. */
  list(type: number): AlarmMember[] {
    const found = this.#active.filter((alarm) => type === AlarmType.none || alarm.type === type);
    return found.sort((a, b) => a.type - b.type || (a.memberId < b.memberId ? -1 : 1));
  }

  has(type: number): boolean {
    return this.#active.some((alarm) => alarm.type === type);
  }

  /** Adds an alarm; false if it was there. */
  activate(alarm: AlarmMember): boolean {
    if (this.#find(alarm) >= 0) return false;
    this.#active.push(alarm);
    return true;
  }

  /** Takes an alarm away; false if it was not there. */
  deactivate(alarm: AlarmMember): boolean {
    const at = this.#find(alarm);
    if (at >= 0) this.#active.splice(at, 1);
    return at >= 0;
  }

  #find({ memberId, type }: AlarmMember): number {
    return this.#active.findIndex((alarm) => alarm.memberId === memberId && alarm.type === type);
  }
}

/** etcdserverpb.AlarmMember {1 memberID, 2 alarm}; also the key in bucket `alarm`. */
export function encodeAlarmMember({ memberId, type }: AlarmMember): Uint8Array {
  return new MessageBuilder().uint64(1, memberId).number(2, type).finish();
}

/** Reads {@link encodeAlarmMember}'s bytes; null when malformed. */
export function decodeAlarmMember(bytes: Uint8Array, start: number, end: number): AlarmMember | null {
  const reader = new WireReader();
  let memberId = 0n;
  let type = 0;
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === TAG_MEMBER) {
      reader.varint();
      memberId = (BigInt(reader.high) << 32n) | BigInt(reader.low);
    } else if (tag === TAG_TYPE) type = reader.int32();
    else reader.skip(tag);
  }
  return reader.failed ? null : { memberId, type };
}

/** The payload of an `alarms` record: u64 member id and u32 type of each. */
export function encodeAlarms(alarms: readonly AlarmMember[]): Uint8Array {
  const bytes = new Uint8Array(alarms.length * ALARM_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, { memberId, type }] of alarms.entries()) {
    view.setBigUint64(i * ALARM_BYTES, memberId, true);
    view.setUint32(i * ALARM_BYTES + 8, type, true);
  }
  return bytes;
}

/** Reads {@link encodeAlarms}'s bytes. */
export function decodeAlarms(bytes: Uint8Array): AlarmMember[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const alarms: AlarmMember[] = [];
  for (let at = 0; at + ALARM_BYTES <= bytes.length; at += ALARM_BYTES) {
    alarms.push({ memberId: view.getBigUint64(at, true), type: view.getUint32(at + 8, true) });
  }
  return alarms;
}
