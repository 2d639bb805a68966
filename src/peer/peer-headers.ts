/** The headers that peers know each other by, and the checks of them (interop: headers; version and cluster checks). */

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { SERVER_VERSION } from "../base/version.ts";
import { formatId } from "../cluster/identity.ts";

/** Oldest cluster version that this product can be a member of. */
export const MIN_CLUSTER_VERSION = "3.0.0";
/** What a missing version header means. */
const ANCIENT_VERSION = "2.0.0";

/** Texts by which a peer tells the causes of status 412 apart. */
export const INCOMPATIBLE_VERSION = "incompatible version";
export const CLUSTER_ID_MISMATCH = "cluster ID mismatch";

/** A member of this program that sends it reads traces of messages; to others none are sent. etcd ignores the header. */
export const TRACES_HEADER = "x-concord-traces";

/** Who this member is to its peers. */
export interface LocalMember {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  /** Advertised peer URLs. */
  readonly peerUrls: readonly string[];
  /** What X-Server-Version says; a released etcd version. */
  readonly serverVersion?: string;
  /** It follows traces: peers that do so too may send them along with messages. */
  readonly takesTraces?: boolean;
}

/** Headers of all requests to raft endpoints. */
export function requestHeaders(local: LocalMember): OutgoingHttpHeaders {
  return {
    "X-Server-From": formatId(local.memberId),
    "X-Server-Version": local.serverVersion ?? SERVER_VERSION,
    "X-Min-Cluster-Version": MIN_CLUSTER_VERSION,
    "X-Etcd-Cluster-ID": formatId(local.clusterId),
    "X-PeerURLs": local.peerUrls.join(","),
    ...(local.takesTraces === true ? { "X-Concord-Traces": "1" } : {}),
  };
}

/** One header's value, or empty. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name];
  return typeof value === "string" ? value : "";
}

/** Reads an id as peers write it: hex of up to 64 bits; null if it is none. */
export function parseHexId(text: string): bigint | null {
  return /^[0-9a-fA-F]{1,16}$/.test(text) ? BigInt(`0x${text}`) : null;
}

/** Major and minor as one comparable number, or -1 if the text is no semantic version. */
export function majorMinor(version: string): number {
  const match = /^(\d{1,9})\.(\d{1,5})\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/.exec(version);
  return match === null ? -1 : Number(match[1]) * 100_000 + Number(match[2]);
}

/** {@link majorMinor} of X-Server-Version; absent is 2.0. */
export function serverVersionOf(headers: IncomingHttpHeaders): number {
  return majorMinor(headerOf(headers, "x-server-version") || ANCIENT_VERSION);
}

/**
 * Why a request of a peer must be refused, or null: its version and ours cannot work together, or it is of another cluster.
 * etcd's handler dies on a version that is none; ours calls it incompatible.
 */
export function checkCompatibility(headers: IncomingHttpHeaders, local: LocalMember): string | null {
  const remoteVersion = serverVersionOf(headers);
  const remoteMinimum = majorMinor(headerOf(headers, "x-min-cluster-version") || ANCIENT_VERSION);
  const isTooOld = remoteVersion < majorMinor(MIN_CLUSTER_VERSION);
  const isTooNew = remoteMinimum === -1 || remoteMinimum > majorMinor(local.serverVersion ?? SERVER_VERSION);
  if (isTooOld || isTooNew) return INCOMPATIBLE_VERSION;
  if (headerOf(headers, "x-etcd-cluster-id") !== formatId(local.clusterId)) return CLUSTER_ID_MISMATCH;
  return null;
}

/** Whether a responder of version `remote` ({@link majorMinor}) serves both streams, as all since 2.1 do. */
export function supportsStreams(remote: number): boolean {
  return remote >= majorMinor("2.1.0");
}
