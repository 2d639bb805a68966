/** The endpoints of raft itself: streams, pipeline, snapshot, probing (interop: streams; pipeline; snapshot POST). */

import { rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { formatId } from "../cluster/identity.ts";
import type { RaftMessage } from "../raft/raft.ts";
import { snapshotFileName } from "../raft/snapshot-service.ts";
import { SERVER_VERSION } from "../base/version.ts";
import { allowMethod, answer, answerError, answerJson, answerNotFound, limitBody } from "./http-answers.ts";
import { readAll } from "./peer-client.ts";
import type { PeerContext, Refusal } from "./peer-context.ts";
import type { PeerCounters } from "./peer-counters.ts";
import { TRACES_HEADER, checkCompatibility, headerOf, parseHexId } from "./peer-headers.ts";
import { PIPELINE_BODY_BYTES_MAX, SNAPSHOTS_RECEIVED_MAX } from "./peer-limits.ts";
import { reasonOf } from "./peer-log.ts";
import type { Peer } from "./peer.ts";
import { MessageDecoder } from "./raft-message-decode.ts";
import { type ReceivedSnapshot, SnapshotRefused, receiveSnapshot } from "./snapshot-receiver.ts";
import type { StreamKind } from "./stream-writer.ts";

const NOTHING = new Uint8Array(0);

/** Texts of status 403, which tells an etcd member that it was removed: for nothing else. */
const FORBIDDEN: Readonly<Record<"removed" | "mismatch", string>> = {
  removed: "cannot process message from removed member",
  mismatch: "cannot process message to mismatch member",
};

/** What the handlers need to know of the members. */
export interface MemberDirectory {
  peer(id: bigint): Peer | undefined;
  isRemoved(id: bigint): boolean;
  /** Somebody unknown told its URLs (X-PeerURLs). */
  addRemote(id: bigint, urls: readonly string[]): void;
  /** Why the loop must not get this message, or null. */
  refusalOf(message: RaftMessage): Refusal;
}

export class RaftHandlers {
  readonly #context: PeerContext;
  readonly #members: MemberDirectory;
  readonly #snapshotFolder: string;
  readonly #decoder = new MessageDecoder();
  #snapshotsReceiving = 0;

  constructor(context: PeerContext, members: MemberDirectory, snapshotFolder: string) {
    this.#context = context;
    this.#members = members;
    this.#snapshotFolder = snapshotFolder;
  }

  /** @param path begins with `/raft` */
  handle(path: string, request: IncomingMessage, response: ServerResponse): void {
    if (path === "/raft") this.#message(request, response);
    else if (path === "/raft/snapshot") this.#snapshot(request, response);
    else if (path === "/raft/probing") this.#probing(request, response);
    else if (path.startsWith("/raft/stream/")) this.#stream(path, request, response);
    else answerNotFound(response);
  }

  #probing(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const now = new Date(this.#context.clock.unixMs()).toISOString();
    answerJson(response, 200, `{"OK":true,"Now":"${now}"}\n`);
  }

  /** True if the sender is of our cluster and version; otherwise the request is answered. */
  #accepts(method: string, request: IncomingMessage, response: ServerResponse): boolean {
    if (!allowMethod(request, response, method)) return false;
    response.setHeader("X-Etcd-Cluster-ID", formatId(this.#context.local.clusterId));
    const failure = checkCompatibility(request.headers, this.#context.local);
    if (failure === null) return true;
    this.#context.log("warn", "refused request of a peer", {
      error: failure,
      "remote-peer-server-name": headerOf(request.headers, "x-server-from"),
      "remote-peer-server-version": headerOf(request.headers, "x-server-version"),
      "remote-peer-cluster-id": headerOf(request.headers, "x-etcd-cluster-id"),
    });
    answerError(response, 412, failure);
    return false;
  }

  #stream(path: string, request: IncomingMessage, response: ServerResponse): void {
    response.setHeader("X-Server-Version", this.#context.local.serverVersion ?? SERVER_VERSION);
    if (!this.#accepts("GET", request, response)) return;
    const match = /^\/raft\/stream\/(message|msgapp)\/([^/]+)$/.exec(path);
    if (match === null) return answerError(response, 404, "invalid path");
    const from = parseHexId(match[2]);
    if (from === null) return answerError(response, 404, "invalid from");
    if (this.#members.isRemoved(from)) return answerError(response, 410, "removed member");
    const peer = this.#members.peer(from);
    if (peer === undefined) {
      this.#addRemote(from, request);
      return answerError(response, 404, "error sender not found");
    }
    if (headerOf(request.headers, "x-raft-to") !== formatId(this.#context.local.memberId)) {
      return answerError(response, 412, "to field mismatch");
    }
    const { socket } = response;
    // Chunks are for HTTP/1.1 only; and a client that sends a second request behind this one gets no answer to it.
    if (socket === null || request.httpVersion !== "1.1")
      return answerError(response, 505, "HTTP/1.1 required");
    response.statusCode = 200;
    response.flushHeaders();
    const takesTraces = headerOf(request.headers, TRACES_HEADER) !== "";
    peer.writer(match[1] as StreamKind).attach(response, socket, takesTraces);
  }

  #message(request: IncomingMessage, response: ServerResponse): void {
    if (!this.#accepts("POST", request, response)) return;
    this.#addSender(request);
    limitBody(request, response, this.#context.timing.bodyMs);
    readAll(request, PIPELINE_BODY_BYTES_MAX).then(
      (body) => this.#received(body, response),
      (error: unknown) => {
        this.#context.log("warn", "failed to read Raft message", { error: reasonOf(error) });
        answerError(response, 400, "error reading raft message");
      },
    );
  }

  #received(body: Uint8Array, response: ServerResponse): void {
    const message = this.#decoder.decode(body, 0, body.length);
    if (message === null) return answerError(response, 400, "error unmarshalling raft message");
    const counters = this.#countersOf(message.from);
    if (counters !== undefined) counters.receivedBytes += body.length;
    answerReceived(this.#context.receive(message), response);
  }

  #snapshot(request: IncomingMessage, response: ServerResponse): void {
    if (!this.#accepts("POST", request, response)) return;
    this.#addSender(request);
    if (this.#snapshotsReceiving >= SNAPSHOTS_RECEIVED_MAX) {
      return answerError(response, 503, "too many snapshots");
    }
    this.#snapshotsReceiving++;
    const from = parseHexId(headerOf(request.headers, "x-server-from"));
    const counters = from === null ? undefined : this.#countersOf(from);
    if (counters !== undefined) counters.snapshotsReceiving++;
    void this.#receiveSnapshot(request, response, counters).finally(() => {
      this.#snapshotsReceiving--;
      if (counters !== undefined) counters.snapshotsReceiving--;
    });
  }

  async #receiveSnapshot(
    request: IncomingMessage,
    response: ServerResponse,
    counters: PeerCounters | undefined,
  ): Promise<void> {
    const { clock, log, timing } = this.#context;
    const startedMs = clock.monotonicMs();
    let message: RaftMessage;
    try {
      const check = (early: RaftMessage): void => this.#checkSnapshot(early);
      const received = await receiveSnapshot(request, this.#snapshotFolder, timing.idleTimeoutMs, check);
      ({ message } = received);
      this.#context.snapshotStored(received.storeMs, received.syncMs);
      const index = message.snapshot?.index;
      await this.#checkFile(received, request);
      log("info", "received and saved database snapshot", {
        ...peerField(message),
        "incoming-snapshot-index": index,
      });
      if (counters !== undefined) {
        counters.receivedBytes += received.bytes;
        counters.snapshotsReceived++;
        counters.durations.snapshotReceive.observe((clock.monotonicMs() - startedMs) / 1000);
      }
    } catch (error) {
      if (counters !== undefined) counters.snapshotReceiveFailures++;
      return this.#refuseSnapshot(error, response);
    }
    answerReceived(this.#context.receiveSnapshot(message), response);
  }

  /** Before raft hears of it: what is damaged must not come into the log. */
  async #checkFile({ message: { snapshot } }: ReceivedSnapshot, request: IncomingMessage): Promise<void> {
    if (snapshot === null) return;
    // Nothing moves on the connection while the file is read.
    request.socket.setTimeout(0);
    try {
      await this.#context.checkSnapshot(snapshot);
    } catch (error) {
      await rm(join(this.#snapshotFolder, snapshotFileName(snapshot.index)), { force: true });
      throw new SnapshotRefused(500, `failed to save KV snapshot (${reasonOf(error)})`);
    }
  }

  /** What would be refused afterwards is refused before the file is taken. */
  #checkSnapshot(message: RaftMessage): void {
    const refusal = this.#members.refusalOf(message);
    if (refusal === "removed" || refusal === "mismatch") throw new SnapshotRefused(403, FORBIDDEN[refusal]);
    this.#context.log("info", "receiving database snapshot", {
      ...peerField(message),
      "incoming-snapshot-index": message.snapshot?.index,
    });
  }

  #refuseSnapshot(error: unknown, response: ServerResponse): void {
    this.#context.log("warn", "failed to receive database snapshot", { error: reasonOf(error) });
    if (!(error instanceof SnapshotRefused)) answerError(response, 500, reasonOf(error));
    else if (error.status === 403) answerJson(response, 403, `{"message":"${error.message}"}`);
    else answerError(response, error.status, error.message);
  }

  #addSender(request: IncomingMessage): void {
    const from = parseHexId(headerOf(request.headers, "x-server-from"));
    if (from !== null) this.#addRemote(from, request);
  }

  #addRemote(from: bigint, request: IncomingMessage): void {
    const urls = headerOf(request.headers, "x-peerurls");
    if (urls !== "") this.#members.addRemote(from, urls.split(","));
  }

  #countersOf(id: bigint): PeerCounters | undefined {
    return this.#members.peer(id)?.counters;
  }
}

/** Tells the sender what became of its message. */
function answerReceived(refusal: Refusal, response: ServerResponse): void {
  if (refusal === "removed" || refusal === "mismatch") {
    answerJson(response, 403, `{"message":"${FORBIDDEN[refusal]}"}`);
  } else answer(response, 204, NOTHING);
}

function peerField(message: RaftMessage): Record<string, unknown> {
  return { "remote-snapshot-sender-id": formatId(message.from) };
}
