/**
 * The endpoints about the member: who belongs to the cluster, versions, and what only the main thread can answer (interop:
 * other peer handlers). Those requests wait here, bounded in number and time, until {@link MemberHandlers.respond}.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import { SERVER_VERSION } from "../base/version.ts";
import { formatId } from "../cluster/identity.ts";
import type { MembershipReport } from "../cluster/membership.ts";
import { PeerRequestKind } from "../ring/record-types.ts";
import { allowMethod, answer, answerError, answerJson, answerNotFound, limitBody } from "./http-answers.ts";
import { formatMembers } from "./members-json.ts";
import { readAll } from "./peer-client.ts";
import { CLUSTER_ID_MISMATCH, type LocalMember, headerOf } from "./peer-headers.ts";
import { MAIN_BODY_BYTES_MAX, MAIN_REQUESTS_MAX, type PeerTiming } from "./peer-limits.ts";

/** Hands a request to the main thread; false = it takes no more. See `PeerEvents.peerRequest`. */
export type PeerRequestSink = (requestId: number, kind: number, body: Uint8Array) => boolean;

const NO_BODY = new Uint8Array(0);
const PROMOTE_PREFIX = "/members/promote/";
const ID_MAX = 2n ** 64n - 1n;
/** By the content type's number in a `peerResponse` record. */
const CONTENT_TYPES: readonly string[] = ["application/json", "application/protobuf", "text/plain"];
const TEXT = 2;

interface WaitingRequest {
  readonly response: ServerResponse;
  readonly timer: NodeJS.Timeout;
}

export class MemberHandlers {
  readonly #local: LocalMember;
  readonly #timing: PeerTiming;
  readonly #sink: PeerRequestSink;
  readonly #waiting = new Map<number, WaitingRequest>();
  #nextRequestId = 1;
  #membership: MembershipReport | null = null;

  constructor(local: LocalMember, timing: PeerTiming, sink: PeerRequestSink) {
    this.#local = local;
    this.#timing = timing;
    this.#sink = sink;
  }

  setMembership(membership: MembershipReport): void {
    this.#membership = membership;
  }

  handle(path: string, request: IncomingMessage, response: ServerResponse): void {
    if (path === "/version") this.#version(request, response);
    else if (path === "/members") this.#members(request, response);
    else if (path.startsWith(PROMOTE_PREFIX)) this.#promote(path, request, response);
    else if (path === "/members/hashkv") this.#hashKv(request, response);
    else if (path === "/leases") this.#forward("POST", PeerRequestKind.leaseKeepAlive, request, response);
    else if (path === "/leases/many")
      this.#forward("POST", PeerRequestKind.leaseKeepAlives, request, response);
    else if (path === "/leases/internal") {
      this.#forward("POST", PeerRequestKind.leaseTimeToLive, request, response);
    } else if (path === "/downgrade/enabled") {
      this.#forward("GET", PeerRequestKind.downgradeEnabled, request, response);
    } else answerNotFound(response);
  }

  /** The main thread's answer; without effect if nobody waits for it any more. */
  respond(requestId: number, status: number, contentType: number, body: Uint8Array): void {
    const response = this.#take(requestId);
    if (response === null) return;
    if (contentType === TEXT && status >= 400)
      return answerError(response, status, Buffer.from(body).toString().replace(/\n$/, ""));
    response.setHeader("Content-Type", CONTENT_TYPES[contentType]);
    // The body is borrowed, and `end` may keep it.
    answer(response, status, new Uint8Array(body));
  }

  /** Answers what still waits. */
  stop(): void {
    for (const requestId of this.#waiting.keys()) this.#give(requestId, 503, "server stopped");
  }

  #version(request: IncomingMessage, response: ServerResponse): void {
    if (!allowMethod(request, response, "GET")) return;
    const clusterVersion = this.#membership?.clusterVersion ?? "";
    const versions = {
      etcdserver: this.#local.serverVersion ?? SERVER_VERSION,
      etcdcluster: clusterVersion || "not_decided",
      storage: clusterVersion || "unknown",
    };
    answerJson(response, 200, JSON.stringify(versions));
  }

  #members(request: IncomingMessage, response: ServerResponse): void {
    if (!allowMethod(request, response, "GET")) return;
    this.#setClusterId(response);
    if (this.#membership === null) answerError(response, 503, "members are not known yet");
    else answerJson(response, 200, formatMembers(this.#membership));
  }

  #promote(path: string, request: IncomingMessage, response: ServerResponse): void {
    const text = path.slice(PROMOTE_PREFIX.length);
    const id = /^[0-9]{1,20}$/.test(text) ? BigInt(text) : ID_MAX + 1n;
    const body = Buffer.alloc(8);
    if (id <= ID_MAX) body.writeBigUInt64LE(id);
    else if (allowMethod(request, response, "POST")) {
      this.#setClusterId(response);
      return answerError(response, 404, `member ${text} not found in cluster`);
    } else return;
    this.#forward("POST", PeerRequestKind.promote, request, response, body);
  }

  #hashKv(request: IncomingMessage, response: ServerResponse): void {
    const theirs = headerOf(request.headers, "x-etcd-cluster-id");
    if (request.method === "GET" && theirs !== "" && theirs !== formatId(this.#local.clusterId)) {
      this.#setClusterId(response);
      return answerError(response, 412, CLUSTER_ID_MISMATCH);
    }
    this.#forward("GET", PeerRequestKind.hashKv, request, response);
  }

  /** @param body what main gets instead of the request's own body */
  #forward(
    method: string,
    kind: number,
    request: IncomingMessage,
    response: ServerResponse,
    body: Uint8Array | null = null,
  ): void {
    if (!allowMethod(request, response, method)) return;
    this.#setClusterId(response);
    limitBody(request, response, this.#timing.bodyMs);
    readAll(request, MAIN_BODY_BYTES_MAX).then(
      (read) => this.#ask(kind, body ?? read, response),
      () => {
        response.setHeader("Connection", "close");
        answerError(response, 413, "http: request body too large");
      },
    );
  }

  #ask(kind: number, body: Uint8Array, response: ServerResponse): void {
    if (response.destroyed) return;
    const requestId = this.#nextRequestId++;
    const sent = kind === PeerRequestKind.downgradeEnabled ? NO_BODY : body;
    if (this.#waiting.size >= MAIN_REQUESTS_MAX) return answerError(response, 503, "too many requests");
    const timer = setTimeout(
      () => this.#give(requestId, 503, "request timed out"),
      this.#timing.mainAnswerMs,
    );
    this.#waiting.set(requestId, { response, timer });
    // Nothing moves on the connection while main works.
    response.socket?.setTimeout(0);
    response.once("close", () => this.#take(requestId));
    if (!this.#sink(requestId, kind, sent)) this.#give(requestId, 503, "too many requests");
  }

  #give(requestId: number, status: number, text: string): void {
    const response = this.#take(requestId);
    if (response !== null) answerError(response, status, text);
  }

  #take(requestId: number): ServerResponse | null {
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) return null;
    this.#waiting.delete(requestId);
    clearTimeout(waiting.timer);
    return waiting.response;
  }

  #setClusterId(response: ServerResponse): void {
    response.setHeader("X-Etcd-Cluster-ID", formatId(this.#local.clusterId));
  }
}
