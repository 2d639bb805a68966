/** How responses about keys are printed, alone or as part of a transaction's. */
import { PutResponseSchema, RangeResponseSchema, DeleteRangeResponseSchema } from "../../proto/gen/rpc_pb.ts";
import type {
  DeleteRangeResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
} from "../../proto/gen/rpc_pb.ts";
import type { KeyValue } from "../../proto/gen/kv_pb.ts";
import { goQuote } from "../common/go-quote.ts";
import { printLine } from "../common/terminal.ts";
import type { View } from "./view.ts";

/** View of a Put. */
export function putView(response: PutResponse): View {
  const prev = response.prevKv === undefined ? [] : [response.prevKv];
  return {
    message: { schema: PutResponseSchema, value: response },
    simple: (hex) => {
      printLine("OK");
      printPairs(prev, hex);
    },
    fields: (hex) => {
      printHeaderFields(response.header, hex);
      for (const kv of prev) printKvFields("Prev", kv, hex);
    },
  };
}

/** View of a Range. `valueOnly`: the simple format leaves the keys out. */
export function rangeView(response: RangeResponse, valueOnly = false): View {
  return {
    message: { schema: RangeResponseSchema, value: response },
    simple: (hex) => printPairs(response.kvs, hex, valueOnly),
    fields: (hex) => {
      printHeaderFields(response.header, hex);
      for (const kv of response.kvs) printKvFields("", kv, hex);
      printLine(`"More" : ${response.more}`);
      printLine(`"Count" : ${response.count}`);
    },
  };
}

/** View of a DeleteRange. */
export function deleteView(response: DeleteRangeResponse): View {
  return {
    message: { schema: DeleteRangeResponseSchema, value: response },
    simple: (hex) => {
      printLine(`${response.deleted}`);
      printPairs(response.prevKvs, hex);
    },
    fields: (hex) => {
      printHeaderFields(response.header, hex);
      printLine(`"Deleted" : ${response.deleted}`);
      for (const kv of response.prevKvs) printKvFields("Prev", kv, hex);
    },
  };
}

/** The header in the fields format. IDs are hexadecimal with `--hex`; a header without revision has no such line. */
export function printHeaderFields(header: ResponseHeader | undefined, hex: boolean): void {
  printLine(`"ClusterID" : ${formatId(header?.clusterId ?? 0n, hex)}`);
  printLine(`"MemberID" : ${formatId(header?.memberId ?? 0n, hex)}`);
  if (header !== undefined && header.revision > 0n) printLine(`"Revision" : ${header.revision}`);
  printLine(`"RaftTerm" : ${header?.raftTerm ?? 0n}`);
}

/** A 64-bit ID in decimal or hexadecimal. */
export function formatId(id: bigint, hex: boolean): string {
  return id.toString(hex ? 16 : 10);
}

/** The simple format: a line for each key and each value. */
export function printPairs(kvs: readonly KeyValue[], hex: boolean, valueOnly = false): void {
  for (const kv of kvs) {
    if (!valueOnly) printLine(hex ? hexBytes(kv.key) : kv.key);
    printLine(hex ? hexBytes(kv.value) : kv.value);
  }
}

/** `\x61\x62` */
function hexBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex").replace(/../g, "\\x$&");
}

/** The fields format of a key and what belongs to it; `prefix` stands before the names. */
export function printKvFields(prefix: string, kv: KeyValue, hex: boolean): void {
  printLine(`"${prefix}Key" : ${goQuote(kv.key)}`);
  printLine(`"${prefix}CreateRevision" : ${kv.createRevision}`);
  printLine(`"${prefix}ModRevision" : ${kv.modRevision}`);
  printLine(`"${prefix}Version" : ${kv.version}`);
  printLine(`"${prefix}Value" : ${goQuote(kv.value)}`);
  printLine(`"${prefix}Lease" : ${hex ? leaseHex(kv.lease) : kv.lease}`);
}

/** A lease ID in 16 digits; Go prints a negative one with its sign. */
export function leaseHex(lease: bigint): string {
  return lease < 0n ? `-${(-lease).toString(16).padStart(15, "0")}` : lease.toString(16).padStart(16, "0");
}
