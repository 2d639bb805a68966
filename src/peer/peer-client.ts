/**
 * Calls of this member's main thread to other members' peer listeners: versions and members while joining and for the cluster
 * version, promotion forwarded to the leader, hashes for the corruption check. One request, one answer, a time limit over all.
 * Nothing here is tried again; URLs are tried in order by the caller, or by {@link firstOf}.
 */

import type { Agent, IncomingMessage } from "node:http";
import { SERVER_VERSION } from "../base/version.ts";
import { formatId } from "../cluster/identity.ts";
import type { Member } from "../cluster/membership.ts";
import { MIN_CLUSTER_VERSION, parseHexId } from "./peer-headers.ts";
import { openPeerRequest } from "./peer-http.ts";

/** Longest answer that is read: etcd's own limit for lease answers, which are the largest. */
const RESPONSE_BYTES_MAX = 100 * 1024 * 1024;

/** What a call needs to know of this member. */
export interface PeerCallOptions {
  /** Milliseconds for everything: connecting, request and answer. */
  readonly timeoutMs: number;
  /** Sent as X-Etcd-Cluster-ID when given. */
  readonly clusterId?: bigint;
  /** Kept connections to use ({@link createPeerAgent}); a connection of its own without. */
  readonly agent?: Agent;
}

/** An answer, whatever its status. */
export interface PeerResponse {
  readonly status: number;
  /** X-Etcd-Cluster-ID, hex; empty without. */
  readonly clusterId: string;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/** GET /version. `storage` is empty for members before 3.6; `cluster` may be `not_decided`. */
export interface PeerVersions {
  readonly server: string;
  readonly cluster: string;
  readonly storage: string;
}

/** GET /members. */
export interface PeerMembers {
  readonly clusterId: bigint;
  /** By ascending id. */
  readonly members: readonly Member[];
}

/** GET /members/hashkv. */
export interface PeerHashKv {
  /** Current revision of the answering member. */
  readonly revision: number;
  readonly hash: number;
  /** -1 before any compaction. */
  readonly compactRevision: number;
  readonly hashRevision: number;
}

/** A call that reached the peer and was refused: `message` is the body's text. Network failures are other errors. */
export class PeerCallError extends Error {
  override readonly name = "PeerCallError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** One request and its whole answer. Rejects when there is none in time, or when it is too long. */
export function callPeer(
  url: string,
  request: {
    readonly method: string;
    readonly path: string;
    readonly body?: Uint8Array;
    readonly headers?: Readonly<Record<string, string>>;
  },
  options: PeerCallOptions,
): Promise<PeerResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<PeerResponse>();
  const headers: Record<string, string | number> = {
    "X-Server-Version": SERVER_VERSION,
    "X-Min-Cluster-Version": MIN_CLUSTER_VERSION,
    ...request.headers,
  };
  if (options.clusterId !== undefined) headers["X-Etcd-Cluster-ID"] = formatId(options.clusterId);
  if (request.body !== undefined) headers["Content-Length"] = request.body.length;
  const { method, path } = request;
  const outgoing = openPeerRequest(url, {
    method,
    path,
    headers,
    agent: options.agent ?? false,
    dialTimeoutMs: options.timeoutMs,
  });
  const timer = setTimeout(
    () => outgoing.destroy(new Error(`no answer from ${url}${path} within ${options.timeoutMs} ms`)),
    options.timeoutMs,
  );
  const fail = (error: Error): void => {
    reject(error);
    outgoing.destroy();
  };
  let isAnswered = false;
  outgoing.once("close", () => {
    clearTimeout(timer);
    // An answer whose end has come is still being read.
    if (!isAnswered) reject(new Error(`connection to ${url} closed`));
  });
  outgoing.on("error", reject);
  outgoing.once("response", (response) => {
    isAnswered = true;
    readAll(response, RESPONSE_BYTES_MAX).then((body) => {
      resolve({
        status: response.statusCode ?? 0,
        clusterId: headerText(response, "x-etcd-cluster-id"),
        contentType: headerText(response, "content-type"),
        body,
      });
    }, fail);
  });
  outgoing.end(request.body);
  return promise;
}

/** GET /version. */
export async function getVersion(url: string, options: PeerCallOptions): Promise<PeerVersions> {
  const raw = parseJson(await get(url, "/version", options)) as {
    etcdserver?: unknown;
    etcdcluster?: unknown;
    storage?: unknown;
  };
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  return { server: text(raw.etcdserver), cluster: text(raw.etcdcluster), storage: text(raw.storage) };
}

/** GET /members: the members as the peer has them applied, and its cluster's id. */
export async function getMembers(url: string, options: PeerCallOptions): Promise<PeerMembers> {
  const response = await get(url, "/members", options);
  return { clusterId: parseHexId(response.clusterId) ?? 0n, members: parseMembers(response.body) };
}

/** GET /downgrade/enabled. The peer reads it linearizably, so it fails without a leader. */
export async function getDowngradeEnabled(url: string, options: PeerCallOptions): Promise<boolean> {
  const { body } = await get(url, "/downgrade/enabled", options);
  const text = decodeText(body);
  if (text !== "true" && text !== "false")
    throw new Error(`unexpected answer of /downgrade/enabled: ${text}`);
  return text === "true";
}

/**
 * POST /members/promote/<id>: has the leader promote a learner. Returns the members afterwards. {@link PeerCallError} 404 =
 * unknown member, 412 = not a learner, or not in sync (its message tells).
 * @param token the client's auth token, or empty
 */
export async function postPromote(
  url: string,
  id: bigint,
  token: string,
  options: PeerCallOptions,
): Promise<readonly Member[]> {
  const headers: Record<string, string> = token === "" ? {} : { Authorization: token };
  const path = `/members/promote/${id}`;
  const response = await callPeer(url, { method: "POST", path, body: new Uint8Array(0), headers }, options);
  if (response.status !== 200) throw refusal(response);
  return parseMembers(response.body);
}

/**
 * GET /members/hashkv at a revision (0 = the newest). {@link PeerCallError} 412 = another cluster, 400 = compacted or in the
 * future.
 */
export async function getHashKv(
  url: string,
  revision: number,
  options: PeerCallOptions,
): Promise<PeerHashKv> {
  const body = new TextEncoder().encode(revision === 0 ? "{}" : JSON.stringify({ revision }));
  const response = await callPeer(url, { method: "GET", path: "/members/hashkv", body }, options);
  if (response.status !== 200) throw refusal(response);
  const raw = parseJson(response) as {
    header?: { revision?: number };
    hash?: number;
    compact_revision?: number;
    hash_revision?: number;
  };
  return {
    revision: raw.header?.revision ?? 0,
    hash: raw.hash ?? 0,
    compactRevision: raw.compact_revision ?? 0,
    hashRevision: raw.hash_revision ?? 0,
  };
}

/** The first URL's answer; the last error when all fail. Tries one after the other. */
export async function firstOf<T>(urls: readonly string[], call: (url: string) => Promise<T>): Promise<T> {
  let failure: unknown = new Error("no peer URLs");
  for (const url of urls) {
    try {
      return await call(url);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** Reads the JSON array of GET /members, ids exact. Throws SyntaxError on bad JSON. */
export function parseMembers(body: Uint8Array): readonly Member[] {
  // The ids are bare 64-bit numbers, which JSON.parse would round: quote them first.
  const list: unknown = JSON.parse(decodeText(body).replace(/("id"\s*:\s*)(\d+)/g, '$1"$2"'));
  if (!Array.isArray(list)) throw new SyntaxError("members must be an array");
  return list.map((each: RawMember) => ({
    id: BigInt(each.id ?? 0),
    name: each.name ?? "",
    peerUrls: each.peerURLs ?? [],
    clientUrls: each.clientURLs ?? [],
    isLearner: each.isLearner ?? false,
  }));
}

interface RawMember {
  readonly id?: string;
  readonly name?: string;
  readonly peerURLs?: readonly string[] | null;
  readonly clientURLs?: readonly string[] | null;
  readonly isLearner?: boolean;
}

async function get(url: string, path: string, options: PeerCallOptions): Promise<PeerResponse> {
  const response = await callPeer(url, { method: "GET", path }, options);
  if (response.status !== 200) throw refusal(response);
  return response;
}

function refusal(response: PeerResponse): PeerCallError {
  return new PeerCallError(response.status, decodeText(response.body).replace(/\n$/, ""));
}

function parseJson(response: PeerResponse): object {
  const value: unknown = JSON.parse(decodeText(response.body));
  if (typeof value !== "object" || value === null) throw new SyntaxError("expected a JSON object");
  return value;
}

function decodeText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function headerText(message: IncomingMessage, name: string): string {
  const value = message.headers[name];
  return typeof value === "string" ? value : "";
}

/** Reads a whole body; rejects when it is longer than `bytesMax` or cut off. The connection is left to the caller then. */
export async function readAll(message: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of message.iterator({ destroyOnReturn: false })) {
    const bytes = chunk as Uint8Array;
    length += bytes.length;
    if (length > bytesMax) throw new Error(`body longer than ${bytesMax} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks, length);
}
