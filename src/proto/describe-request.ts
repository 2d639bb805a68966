/**
 * Requests as log lines show them, in the text form of etcd's (Go's compact text format): values by their length only, passwords and
 * what else is nobody's business not at all. Off the hot path: it makes what strings it likes.
 */
import { RaftField, RaftRequestView } from "./raft-request.ts";
import { WIRE_BYTES, WIRE_VARINT, WireReader } from "./wire.ts";

/** How a field is printed. */
type Shape =
  | "bytes"
  /** A value: `<name>_size` and how long it is. */
  | "size"
  | "int"
  /** A 64-bit ID, in hex. */
  | "hex"
  | "seconds"
  | "bool"
  /** Names by number. */
  | readonly string[];

type MessageShape = ReadonlyMap<number, readonly [name: string, shape: Shape]>;

const SORT_ORDERS = ["NONE", "ASCEND", "DESCEND"];
const TARGETS = ["VERSION", "CREATE", "MOD", "VALUE", "LEASE"];
const COMPARE_RESULTS = ["EQUAL", "GREATER", "LESS", "NOT_EQUAL"];

const RANGE: MessageShape = new Map<number, readonly [string, Shape]>([
  [1, ["key", "bytes"]],
  [2, ["range_end", "bytes"]],
  [3, ["limit", "int"]],
  [4, ["revision", "int"]],
  [5, ["sort_order", SORT_ORDERS]],
  [6, ["sort_target", ["KEY", "VERSION", "CREATE", "MOD", "VALUE"]]],
  [7, ["serializable", "bool"]],
  [8, ["keys_only", "bool"]],
  [9, ["count_only", "bool"]],
  [10, ["min_mod_revision", "int"]],
  [11, ["max_mod_revision", "int"]],
  [12, ["min_create_revision", "int"]],
  [13, ["max_create_revision", "int"]],
]);

const PUT: MessageShape = new Map<number, readonly [string, Shape]>([
  [1, ["key", "bytes"]],
  [2, ["value", "size"]],
  [3, ["lease", "int"]],
  [4, ["prev_kv", "bool"]],
  [5, ["ignore_value", "bool"]],
  [6, ["ignore_lease", "bool"]],
]);

const DELETE_RANGE: MessageShape = new Map<number, readonly [string, Shape]>([
  [1, ["key", "bytes"]],
  [2, ["range_end", "bytes"]],
  [3, ["prev_kv", "bool"]],
]);

const COMPARE: MessageShape = new Map<number, readonly [string, Shape]>([
  [1, ["result", COMPARE_RESULTS]],
  [2, ["target", TARGETS]],
  [3, ["key", "bytes"]],
  [4, ["version", "int"]],
  [5, ["create_revision", "int"]],
  [6, ["mod_revision", "int"]],
  [7, ["value", "size"]],
  [8, ["lease", "int"]],
  [64, ["range_end", "bytes"]],
]);

const COMPACTION: MessageShape = new Map<number, readonly [string, Shape]>([
  [1, ["revision", "int"]],
  [2, ["physical", "bool"]],
]);

const LEASE_GRANT: MessageShape = new Map<number, readonly [string, Shape]>([
  [1, ["ttl", "seconds"]],
  [2, ["id", "hex"]],
]);

const LEASE_REVOKE: MessageShape = new Map<number, readonly [string, Shape]>([[1, ["id", "hex"]]]);

const MESSAGES: ReadonlyMap<number, readonly [name: string, shape: MessageShape]> = new Map([
  [RaftField.range, ["range", RANGE]],
  [RaftField.put, ["put", PUT]],
  [RaftField.deleteRange, ["delete_range", DELETE_RANGE]],
  [RaftField.compaction, ["compaction", COMPACTION]],
  [RaftField.leaseGrant, ["lease_grant", LEASE_GRANT]],
  [RaftField.leaseRevoke, ["lease_revoke", LEASE_REVOKE]],
]);

const WITH_OWN_TEXT: ReadonlySet<number> = new Set([
  RaftField.put,
  RaftField.leaseGrant,
  RaftField.leaseRevoke,
]);

/** Members of RequestOp's oneof, by field. */
const OPERATIONS: readonly (readonly [name: string, field: number])[] = [
  ["", 0],
  ["request_range", RaftField.range],
  ["request_put", RaftField.put],
  ["request_delete_range", RaftField.deleteRange],
  ["request_txn", RaftField.txn],
];

/** Longest text: a request may have a key of a megabyte, or many operations. */
const TEXT_CHARS_MAX = 4096;
/** Operations of a txn that are shown. */
const OPERATIONS_MAX = 128;

/** The request `bytes[start, end)` of the kind that `field` names (RaftField: range, put, deleteRange, txn and some more); cut off when it is very long. */
export function describeRequest(field: number, bytes: Uint8Array, start: number, end: number): string {
  const text =
    field === RaftField.txn
      ? describeTxn(bytes, start, end)
      : describeMessage(MESSAGES.get(field)?.[1] ?? new Map(), bytes, start, end);
  return text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}...` : text;
}

/** An InternalRaftRequest, as {@link describeRequest} shows what is in it. */
export function describeRaftRequest(bytes: Uint8Array, start: number, end: number): string {
  const request = new RaftRequestView();
  if (!request.decode(bytes, start, end)) return "";
  const id = (BigInt(request.idHigh) << 32n) | BigInt(request.idLow);
  const header = `header:<ID:${id} > `;
  const { field, payloadStart, payloadEnd } = request;
  const content = describeRequest(field, bytes, payloadStart, payloadEnd);
  if (field === RaftField.txn) return `${header}txn:<${content}>`;
  const name = MESSAGES.get(field)?.[0];
  if (name === undefined) return `${header}${nameOf(field)}:<size:${payloadEnd - payloadStart} > `;
  // Go prints those that have a text of their own without the last blank.
  const blank = WITH_OWN_TEXT.has(field) ? "" : " ";
  return `${header}${name}:<${content.slice(0, field === RaftField.put || blank !== "" ? undefined : -1)}>${blank}`;
}

/** Of a request whose content is not shown: a field of RaftField, or its number. */
function nameOf(field: number): string {
  const known = Object.entries(RaftField).find(([, number]) => number === field);
  return known === undefined
    ? `field_${field}`
    : known[0].replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function describeTxn(bytes: Uint8Array, start: number, end: number): string {
  const parts: [string[], string[], string[]] = [[], [], []];
  forEachField(bytes, start, end, (field, from, to) => {
    const part = field >= 1 && field <= 3 && to >= 0 ? parts[field - 1] : undefined;
    if (part === undefined || part.length > OPERATIONS_MAX) return;
    if (part.length === OPERATIONS_MAX) part.push("...");
    else
      part.push(field === 1 ? describeMessage(COMPARE, bytes, from, to) : describeOperation(bytes, from, to));
  });
  const [compares, success, failure] = parts.map((part) => part.join(" "));
  return `compare:<${compares}> success:<${success}> failure:<${failure}>`;
}

function describeOperation(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  forEachField(bytes, start, end, (number, from, to) => {
    const [name, field] = OPERATIONS[number] ?? ["", 0];
    if (field === 0 || to < 0) return;
    // Go prints the two that hide values without the blank.
    const blank = field === RaftField.put || field === RaftField.txn ? "" : " ";
    text += `${name}:<${describeRequest(field, bytes, from, to)}>${blank}`;
  });
  return text;
}

function describeMessage(shape: MessageShape, bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  forEachField(bytes, start, end, (number, from, to, value) => {
    const known = shape.get(number);
    if (known !== undefined) text += `${describeField(known[0], known[1], bytes, from, to, value)} `;
  });
  return text;
}

function describeField(
  name: string,
  shape: Shape,
  bytes: Uint8Array,
  from: number,
  to: number,
  value: bigint,
): string {
  switch (shape) {
    case "bytes":
      return `${name}:${quoteBytes(bytes, from, to)}`;
    case "size":
      return `${name}_size:${to - from}`;
    case "hex":
      return `${name}:${value.toString(16)}`;
    case "seconds":
      return `${name}:${BigInt.asIntN(64, value)}-second`;
    case "bool":
      return `${name}:${value !== 0n}`;
    case "int":
      return `${name}:${BigInt.asIntN(64, value)}`;
    default:
      return `${name}:${shape[Number(value)] ?? value}`;
  }
}

/** `to` is -1 for a varint, whose value is `value`. */
type VisitField = (number: number, from: number, to: number, value: bigint) => void;

function forEachField(bytes: Uint8Array, start: number, end: number, visit: VisitField): void {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if ((tag & 7) === WIRE_VARINT) {
      reader.varint();
      visit(tag >>> 3, 0, -1, (BigInt(reader.high) << 32n) | BigInt(reader.low));
    } else if ((tag & 7) === WIRE_BYTES) {
      const length = reader.length();
      if (reader.failed) return;
      visit(tag >>> 3, reader.position, reader.position + length, 0n);
      reader.position += length;
    } else reader.skip(tag);
  }
}

const NAMED: Readonly<Record<number, string>> = { 9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\" };

/** Printable ASCII as it is, everything else as three octal digits. */
function quoteBytes(bytes: Uint8Array, from: number, to: number): string {
  let text = '"';
  // The rest would be cut off anyway.
  for (let at = from; at < to && text.length <= TEXT_CHARS_MAX; at++) {
    const byte = bytes[at];
    const isPrintable = byte >= 0x20 && byte < 0x7f;
    text +=
      NAMED[byte] ?? (isPrintable ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`);
  }
  return `${text}"`;
}

/** What a log line says of an answer. */
export interface AnswerSummary {
  /** Keys counted or deleted. */
  readonly count: number;
  /** Of a txn. */
  readonly succeeded: boolean;
}

/** Reads the summary off a RangeResponse (`count`), DeleteRangeResponse (`deleted`) or TxnResponse (`succeeded`). */
export function summarizeAnswer(field: number, bytes: Uint8Array, start: number, end: number): AnswerSummary {
  const countField = field === RaftField.range ? 4 : field === RaftField.deleteRange ? 2 : 0;
  let count = 0;
  let succeeded = false;
  forEachField(bytes, start, end, (number, _from, to, value) => {
    if (to >= 0) return;
    if (number === countField) count = Number(value);
    else if (field === RaftField.txn && number === 2) succeeded = value !== 0n;
  });
  return { count, succeeded };
}

/** Number and bytes of the operations that a txn carries out when it has `succeeded`, or has not. */
export function measureTxn(
  bytes: Uint8Array,
  start: number,
  end: number,
  succeeded: boolean,
): { readonly count: number; readonly bytes: number } {
  let count = 0;
  let total = 0;
  forEachField(bytes, start, end, (number, from, to) => {
    if (to < 0 || number !== (succeeded ? 2 : 3)) return;
    count++;
    total += to - from;
  });
  return { count, bytes: total };
}
