/** How responses about leases are printed, and lease ids read. */
import {
  type LeaseGrantResponse,
  type LeaseKeepAliveResponse,
  type LeaseLeasesResponse,
  type LeaseRevokeResponse,
  LeaseRevokeResponseSchema,
  type LeaseTimeToLiveResponse,
  type ResponseHeader,
  ResponseHeaderSchema,
} from "../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../common/cli-error.ts";
import { parseArgument } from "../common/flags.ts";
import { parseInt64 } from "../common/go-number.ts";
import { goQuote } from "../common/go-quote.ts";
import { goJsonString, messageToJson } from "../common/message-json.ts";
import { print, printLine } from "../common/terminal.ts";
import { leaseHex, printHeaderFields } from "./kv-view.ts";
import type { View } from "./view.ts";

/** The one argument of most lease commands, in hexadecimal. Throws CliError. */
export function readLeaseId(args: readonly string[], problem: string): bigint {
  if (args.length !== 1) throw new CliError(ExitCode.badArgs, problem);
  return parseArgument(
    () => parseInt64(args[0], 16),
    ExitCode.badArgs,
    (cause) => `bad lease ID arg (${cause}), expecting ID in Hex`,
  );
}

/** View of a LeaseGrant. */
export function grantView(response: LeaseGrantResponse): View {
  const { header, ID, TTL, error } = response;
  return {
    ...headerMessage(header),
    simple: () => printLine(`lease ${leaseHex(ID)} granted with TTL(${TTL}s)`),
    fields: (hex) => printLeaseFields(response, hex),
    json: () => leaseJson(header, `"ID":${ID}`, `"TTL":${TTL}`, `"Error":${goJsonString(error)}`),
  };
}

/** View of a LeaseRevoke. */
export function revokeView(id: bigint, response: LeaseRevokeResponse): View {
  return {
    message: { schema: LeaseRevokeResponseSchema, value: response },
    simple: () => printLine(`lease ${leaseHex(id)} revoked`),
    fields: (hex) => printHeaderFields(response.header, hex),
  };
}

/** View of an answer to a keep-alive. */
export function keepAliveView(response: LeaseKeepAliveResponse): View {
  const { header, ID, TTL } = response;
  return {
    ...headerMessage(header),
    simple: () => printLine(`lease ${leaseHex(ID)} keepalived with TTL(${TTL})`),
    fields: (hex) => printLeaseFields(response, hex),
    json: () => leaseJson(header, `"ID":${ID}`, `"TTL":${TTL}`),
  };
}

/** View of a LeaseTimeToLive. */
export function timeToLiveView(response: LeaseTimeToLiveResponse, withKeys: boolean): View {
  const { header, ID, TTL, grantedTTL, keys } = response;
  const base64 = keys.map((key) => `"${Buffer.from(key).toString("base64")}"`);
  const list = keys.length === 0 ? "null" : `[${base64.join(",")}]`;
  return {
    ...headerMessage(header),
    simple: () => {
      const lease = `lease ${leaseHex(ID)}`;
      if (grantedTTL === 0n && TTL === -1n) return printLine(`${lease} already expired`);
      print(`${lease} granted with TTL(${grantedTTL}s), remaining(${TTL}s)`);
      if (withKeys) printKeys(keys);
      printLine("");
    },
    fields: (hex) => {
      printLeaseFields(response, hex);
      printLine(`"GrantedTTL" : ${grantedTTL}`);
      for (const key of keys) printLine(`"Key" : ${goQuote(key)}`);
    },
    json: () =>
      leaseJson(header, `"id":${ID}`, `"ttl":${TTL}`, `"granted-ttl":${grantedTTL}`, `"keys":${list}`),
  };
}

/** View of a LeaseLeases. */
export function leasesView({ header, leases }: LeaseLeasesResponse): View {
  return {
    ...headerMessage(header),
    simple: () => {
      printLine(`found ${leases.length} leases`);
      for (const { ID } of leases) printLine(leaseHex(ID));
    },
    fields: (hex) => {
      printHeaderFields(header, hex);
      for (const { ID } of leases) printLine(`"ID" : ${hex ? leaseHex(ID) : ID}`);
    },
    json: () => leaseJson(header, `"leases":[${leases.map(({ ID }) => `{"id":${ID}}`).join(",")}]`),
  };
}

/** The protobuf format of these responses is their header alone: what etcdctl's own types make of it. */
function headerMessage(header: ResponseHeader | undefined): Pick<View, "message"> {
  return header === undefined ? {} : { message: { schema: ResponseHeaderSchema, value: header } };
}

/** The header's fields stand among the others. */
function leaseJson(header: ResponseHeader | undefined, ...fields: readonly string[]): string {
  const head = header === undefined ? "" : messageToJson(ResponseHeaderSchema, header).slice(1, -1);
  return `{${[...(head === "" ? [] : [head]), ...fields].join(",")}}`;
}

function printLeaseFields(
  lease: { readonly header?: ResponseHeader | undefined; readonly ID: bigint; readonly TTL: bigint },
  hex: boolean,
): void {
  printHeaderFields(lease.header, hex);
  printLine(`"ID" : ${hex ? leaseHex(lease.ID) : lease.ID}`);
  printLine(`"TTL" : ${lease.TTL}`);
}

function printKeys(keys: readonly Uint8Array[]): void {
  print(", attached keys([");
  keys.forEach((key, i) => {
    if (i > 0) print(" ");
    print(key);
  });
  print("])");
}
