/** The requests of the Cluster service and MoveLeader: small messages of numbers and strings, decoded in one way for all. */

import { WIRE_BYTES, WIRE_VARINT, WireReader } from "../proto/wire.ts";
import type { Call } from "../grpc/service.ts";
import { refuseMalformed } from "./number-field.ts";

/** Strings of one field, URLs of one member: a request within its limit of bytes could name a million, and hold up everybody. */
const STRINGS_MAX = 1000;

/** The fields of one request; what is not there is 0 or empty. */
export interface MemberRequest {
  /** Last value of a uint64 or bool field. */
  number(field: number): bigint;
  /** Values of a string field, in order. */
  strings(field: number): readonly string[];
}

/** Decodes `bytes[start, end)`. A malformed message, or one with too many strings, ends the call, and gives null. */
export function readMemberRequest(
  call: Call,
  bytes: Uint8Array,
  start: number,
  end: number,
): MemberRequest | null {
  const numbers = new Map<number, bigint>();
  const strings = new Map<number, string[]>();
  const reader = new WireReader();
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  reader.reset(bytes, start, end);
  try {
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      const field = tag >>> 3;
      if ((tag & 7) === WIRE_VARINT) {
        reader.varint();
        numbers.set(field, (BigInt(reader.high) << 32n) | BigInt(reader.low));
      } else if ((tag & 7) === WIRE_BYTES) {
        const length = reader.length();
        const value = text.decode(bytes.subarray(reader.position, reader.position + length));
        reader.advance(length);
        const values = strings.get(field);
        if (values === undefined) strings.set(field, [value]);
        else if (values.push(value) > STRINGS_MAX) return refuseMalformed(call);
      } else reader.skip(tag);
    }
  } catch {
    // Text that is not UTF-8.
    return refuseMalformed(call);
  }
  if (reader.failed) return refuseMalformed(call);
  return {
    number: (field) => numbers.get(field) ?? 0n,
    strings: (field) => strings.get(field) ?? [],
  };
}
