/**
 * Takes explicitly empty `range_end` fields out of requests that go into the log. To Go such a field is not the same as none: a
 * member of etcd that applies the client's own bytes reads it as "every key from key on", where its leader, which encodes anew
 * what it proposes, has left it out. Rare, so plain: it copies the parts that stay.
 */
import { varintBytes, WIRE_BYTES, WireReader, writeVarint } from "./wire.ts";

/** What a message is: which of its fields is the range end, and which are messages to look into. */
interface Shape {
  readonly rangeEnd: number;
  /** By field number. */
  readonly inner: Readonly<Record<number, Shape>>;
}

const RANGE: Shape = { rangeEnd: 2, inner: {} };
const COMPARE: Shape = { rangeEnd: 64, inner: {} };
const OP_INNER: Record<number, Shape> = { 1: RANGE, 3: RANGE };
const OP: Shape = { rangeEnd: 0, inner: OP_INNER };
const TXN: Shape = { rangeEnd: 0, inner: { 1: COMPARE, 2: OP, 3: OP } };
// A nested txn.
OP_INNER[4] = TXN;

/** A DeleteRangeRequest, known to be well-formed, without its empty range end. */
export function stripDeleteRange(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return strip(RANGE, bytes, start, end);
}

/** A TxnRequest, known to be well-formed and of bounded depth, without empty range ends anywhere in it. */
export function stripTxn(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return strip(TXN, bytes, start, end);
}

/** A field as it stands in the message: `[start, end)`, and where its value begins. */
interface Field {
  readonly tag: number;
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
}

function strip(shape: Shape, bytes: Uint8Array, start: number, end: number): Uint8Array {
  const fields = readFields(bytes, start, end);
  const isRangeEnd = ({ tag }: Field): boolean => tag === shape.rangeEnd * 8 + WIRE_BYTES;
  const last = fields.findLast(isRangeEnd);
  // The last occurrence counts: if it is empty, none may stay.
  const drops = last !== undefined && last.valueStart === last.end;
  const parts: Uint8Array[] = [];
  for (const field of fields) {
    if (drops && isRangeEnd(field)) continue;
    const inner = (field.tag & 7) === WIRE_BYTES ? shape.inner[field.tag >>> 3] : undefined;
    if (inner === undefined) parts.push(bytes.subarray(field.start, field.end));
    else parts.push(...encodeField(field.tag, strip(inner, bytes, field.valueStart, field.end)));
  }
  return concat(parts);
}

function readFields(bytes: Uint8Array, start: number, end: number): Field[] {
  const fields: Field[] = [];
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  for (let from = start, tag = reader.tag(); tag !== 0; from = reader.position, tag = reader.tag()) {
    let valueStart = reader.position;
    if ((tag & 7) === WIRE_BYTES) {
      const length = reader.length();
      valueStart = reader.position;
      reader.advance(length);
    } else reader.skip(tag);
    fields.push({ tag, start: from, valueStart, end: reader.position });
  }
  return fields;
}

function encodeField(tag: number, value: Uint8Array): [head: Uint8Array, value: Uint8Array] {
  const head = new Uint8Array(varintBytes(tag) + varintBytes(value.length));
  writeVarint(head, writeVarint(head, 0, tag), value.length);
  return [head, value];
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
