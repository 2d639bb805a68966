/**
 * Turns a response into text that is equal for two members exactly if their answers are equivalent: every field, known or
 * unknown, except the IDs and the term in headers, and with the order that etcd leaves open (equal sort keys) taken out.
 */
import { createHash } from "node:crypto";
import { fromBinary, type Message } from "@bufbuild/protobuf";
import type { KeyValue } from "../../src/proto/gen/kv_pb.ts";
import {
  CompactionResponseSchema,
  DeleteRangeResponseSchema,
  LeaseGrantResponseSchema,
  LeaseKeepAliveResponseSchema,
  LeaseLeasesResponseSchema,
  LeaseRevokeResponseSchema,
  LeaseTimeToLiveResponseSchema,
  PutResponseSchema,
  RangeResponseSchema,
  TxnResponseSchema,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
} from "../../src/proto/gen/rpc_pb.ts";
import type { Operation } from "./operations.ts";

// Differ between any two members by their nature; only whether they are set is compared.
const IDENTITY_FIELDS: ReadonlySet<string> = new Set(["clusterId", "memberId", "raftTerm"]);

// Longer values are shown by their beginning and compared by their hash.
const SHOWN_BYTES_MAX = 200;

/** A decoded answer: the text to compare, and the revision its header names. */
export interface CanonicalResponse {
  readonly text: string;
  /** Seconds that a lease has left: not in the text, since they go on running between two members' answers. */
  readonly seconds?: number;
  readonly revision: number;
}

/** Canonical text of the bytes that answered `operation`. */
export function canonicalResponse(operation: Operation, bytes: Uint8Array): CanonicalResponse {
  // A Buffer would give Buffers as the messages' bytes, which turn themselves into JSON.
  const response = decode(operation, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const revision = Number(response.header?.revision ?? 0n);
  if (response.$typeName !== "etcdserverpb.LeaseTimeToLiveResponse" || response.TTL < 0)
    return { text: dump(response), revision };
  const seconds = Number(response.TTL);
  response.TTL = 0n;
  return { text: dump(response), revision, seconds };
}

function decode(operation: Operation, bytes: Uint8Array) {
  switch (operation.method) {
    case "Put":
      return fromBinary(PutResponseSchema, bytes);
    case "DeleteRange":
      return fromBinary(DeleteRangeResponseSchema, bytes);
    case "Compact":
      return fromBinary(CompactionResponseSchema, bytes);
    case "Range": {
      const response = fromBinary(RangeResponseSchema, bytes);
      orderTies(operation.request, response);
      return response;
    }
    case "Txn": {
      const response = fromBinary(TxnResponseSchema, bytes);
      orderTiesOfTxn(operation.request, response);
      return response;
    }
    case "LeaseGrant":
      return fromBinary(LeaseGrantResponseSchema, bytes);
    case "LeaseRevoke":
      return fromBinary(LeaseRevokeResponseSchema, bytes);
    case "LeaseKeepAlive":
      return fromBinary(LeaseKeepAliveResponseSchema, bytes);
    case "LeaseTimeToLive": {
      const response = fromBinary(LeaseTimeToLiveResponseSchema, bytes);
      // etcd gives them in the order of a hash map.
      response.keys.sort((a, b) => Buffer.compare(a, b));
      return response;
    }
    case "LeaseLeases": {
      const response = fromBinary(LeaseLeasesResponseSchema, bytes);
      // By the time left: leases that were renewed at nearly the same time come in either order.
      response.leases.sort((a, b) => (a.ID < b.ID ? -1 : 1));
      return response;
    }
  }
}

function orderTiesOfTxn(request: TxnRequest, response: TxnResponse): void {
  const branch = response.succeeded ? request.success : request.failure;
  response.responses.forEach((op, index) => orderTiesOfOp(branch[index], op));
}

function orderTiesOfOp(request: RequestOp | undefined, response: ResponseOp): void {
  const [asked, answered] = [request?.request, response.response];
  if (asked?.case === "requestRange" && answered.case === "responseRange")
    orderTies(asked.value, answered.value);
  if (asked?.case === "requestTxn" && answered.case === "responseTxn")
    orderTiesOfTxn(asked.value, answered.value);
}

/**
 * etcd's sort is not stable: entries of equal sort keys come in any order, and if the limit cuts through them, any of them
 * may be the ones left. So equal ones are put in key order, and of a group that was cut only its size and sort key stay.
 */
function orderTies(request: RangeRequest, response: RangeResponse): void {
  if (request.sortTarget === 0 || (response.kvs.length < 2 && !response.more)) return;
  const sortKey = (kv: KeyValue): string => sortKeyText(request, kv);
  const groups: KeyValue[][] = [];
  for (const kv of response.kvs) {
    const last = groups.at(-1);
    if (last !== undefined && sortKey(last[0]) === sortKey(kv)) last.push(kv);
    else groups.push([kv]);
  }
  for (const group of groups) group.sort((a, b) => Buffer.compare(a.key, b.key));
  response.kvs = groups.flat();
  if (response.more) for (const kv of groups.at(-1) ?? []) forgetAllBut(kv, sortKey(kv));
}

function sortKeyText(request: RangeRequest, kv: KeyValue): string {
  switch (request.sortTarget) {
    case 1:
      return `${kv.version}`;
    case 2:
      return `${kv.createRevision}`;
    case 3:
      return `${kv.modRevision}`;
    // keys_only takes the values away after the sort: the order is not visible any more.
    default:
      return request.keysOnly ? "hidden" : Buffer.from(kv.value).toString("latin1");
  }
}

function forgetAllBut(kv: KeyValue, sortKey: string): void {
  kv.key = Buffer.from(`one of those with sort key ${sortKey}`, "latin1");
  kv.value = new Uint8Array(0);
  kv.createRevision = kv.modRevision = kv.version = kv.lease = 0n;
}

/** A readable text of any message with all its fields. Its bytes must be plain Uint8Arrays. */
export function dump(message: Message | undefined): string {
  const replacer = (name: string, value: unknown): unknown => {
    if (name === "$typeName") return undefined;
    if (IDENTITY_FIELDS.has(name)) return value === 0n ? "unset" : "set";
    if (typeof value === "bigint") return `${value}`;
    return value instanceof Uint8Array ? bytesText(value) : value;
  };
  return JSON.stringify(message, replacer, 1);
}

function bytesText(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString("latin1");
  if (text.length <= SHOWN_BYTES_MAX) return text;
  return `${text.slice(0, SHOWN_BYTES_MAX)}… (${bytes.length} bytes, SHA-1 ${createHash("sha1").update(bytes).digest("hex")})`;
}
