/**
 * One of the two streams that this member dials to a peer: a GET whose answer never ends, and in it the peer's messages. It is
 * dialed again, one attempt in 100 ms, for as long as the peer is a member; an end of the stream is nothing special.
 */

import type { ClientRequest, IncomingMessage } from "node:http";
import { formatId } from "../cluster/identity.ts";
import type { RaftMessage } from "../raft/raft.ts";
import { AppendStreamParser } from "./append-stream.ts";
import { FrameAssembler } from "./frame-assembler.ts";
import { MessageStreamParser } from "./message-stream.ts";
import { readAll } from "./peer-client.ts";
import type { PeerParts } from "./peer-context.ts";
import { reasonOf } from "./peer-log.ts";
import { majorMinor, serverVersionOf, supportsStreams } from "./peer-headers.ts";
import { openPeerRequest } from "./peer-http.ts";
import { SERVER_VERSION } from "../base/version.ts";
import { MessageDecoder } from "./raft-message-decode.ts";
import { STREAM_NAMES, type StreamKind } from "./stream-writer.ts";

/** Body of a refusal: a line of text. */
const REFUSAL_BYTES_MAX = 64 * 1024;

export class StreamReader {
  readonly #kind: StreamKind;
  readonly #parts: PeerParts;
  readonly #decoder = new MessageDecoder();
  #request: ClientRequest | null = null;
  #response: IncomingMessage | null = null;
  #assembler: FrameAssembler | null = null;
  #redial: NodeJS.Timeout | undefined;
  #dialedMs = Number.NEGATIVE_INFINITY;
  #paused = false;
  #stopped = false;
  /** What the last attempt failed with; repeated failures are logged once. */
  #lastFailure = "";

  constructor(kind: StreamKind, parts: PeerParts) {
    this.#kind = kind;
    this.#parts = parts;
  }

  start(): void {
    const { clock, timing } = this.#parts.context;
    const waitMs = Math.max(0, this.#dialedMs + timing.redialMs - clock.monotonicMs());
    this.#redial = setTimeout(() => this.#dial(), waitMs);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#redial);
    this.#assembler?.close();
    this.#request?.destroy();
  }

  /** While paused nothing is read; the peer notices by its full socket only. */
  pause(paused: boolean): void {
    this.#paused = paused;
    if (this.#response === null) return;
    if (paused) this.#response.pause();
    else this.#response.resume();
    this.#limitSilence();
  }

  #dial(): void {
    const { context, peerId, picker } = this.#parts;
    this.#dialedMs = context.clock.monotonicMs();
    const url = picker.pick();
    const path = `/raft/stream/${this.#kind}/${formatId(context.local.memberId)}`;
    const headers = { ...context.headers, "X-Raft-To": formatId(peerId) };
    const request = openPeerRequest(url, { method: "GET", path, headers, agent: false });
    this.#request = request;
    this.#limitSilence();
    request.on("timeout", () => request.destroy(new Error("i/o timeout")));
    request.on("error", (error) => this.#failed(url, error));
    request.once("response", (response) => this.#answered(url, response));
    request.once("close", () => this.#closed(request));
    request.end();
  }

  /** The peer sends a link heartbeat thrice in this time. */
  #limitSilence(): void {
    this.#request?.setTimeout(this.#paused ? 0 : this.#parts.context.timing.idleTimeoutMs);
  }

  #answered(url: string, response: IncomingMessage): void {
    const remote = serverVersionOf(response.headers);
    const { local } = this.#parts.context;
    if (remote < majorMinor(local.serverVersion ?? SERVER_VERSION) && !supportsStreams(remote)) {
      this.#parts.picker.failed(url);
      this.#logFailure("unsupported stream type");
      response.destroy();
    } else if (response.statusCode === 200) this.#read(response);
    else this.#refused(url, response);
  }

  #refused(url: string, response: IncomingMessage): void {
    const { context, peerId } = this.#parts;
    const request = this.#request;
    readAll(response, REFUSAL_BYTES_MAX).then(
      (body) => {
        const text = Buffer.from(body).toString().replace(/\n$/, "");
        if (response.statusCode === 410) {
          context.log("error", "the member has been permanently removed from the cluster", {
            "remote-peer-id": formatId(peerId),
          });
          context.removedFromCluster();
        }
        this.#failed(url, new Error(`${response.statusCode} ${text}`));
      },
      (error: unknown) => {
        this.#failed(url, error);
        request?.destroy();
      },
    );
  }

  #read(response: IncomingMessage): void {
    const { context, peerId, status } = this.#parts;
    status.activate();
    this.#lastFailure = "";
    context.log("info", "established TCP streaming connection with remote peer", this.#fields());
    const receive = (message: RaftMessage, bytes: number): void => this.#receive(message, bytes);
    const ids = { local: context.local.memberId, remote: peerId };
    const assembler = new FrameAssembler(
      this.#kind === "msgapp"
        ? new AppendStreamParser(this.#decoder, ids, receive)
        : new MessageStreamParser(this.#decoder, receive),
    );
    this.#assembler = assembler;
    this.#response = response;
    response.on("data", (chunk: Buffer) => {
      if (!assembler.push(chunk) && !this.#stopped) response.destroy(new Error("malformed stream"));
    });
    // An end, a reset and a malformed frame alike lead to `close` of the request, and to the next attempt.
    response.on("error", (error) => this.#broken(error));
    if (this.#paused) this.pause(true);
  }

  #receive(message: RaftMessage, bytes: number): void {
    const { context, counters, peerId } = this.#parts;
    counters.receivedBytes += bytes;
    const refusal = context.receive(message);
    if (refusal === null) return;
    counters.receivedFailures++;
    context.log("warn", "dropped raft message of a stream", { "remote-peer-id": formatId(peerId), refusal });
  }

  #broken(error: unknown): void {
    if (this.#stopped) return;
    this.#parts.status.deactivate(`read on ${STREAM_NAMES[this.#kind]}`, reasonOf(error));
    this.#logFailure(reasonOf(error));
  }

  #failed(url: string, error: unknown): void {
    if (this.#stopped) return;
    this.#parts.picker.failed(url);
    this.#parts.status.deactivate(`dial on ${STREAM_NAMES[this.#kind]}`, reasonOf(error));
    this.#logFailure(reasonOf(error));
  }

  #closed(request: ClientRequest): void {
    if (this.#request !== request) return;
    if (this.#response !== null) {
      this.#parts.context.log("warn", "lost TCP streaming connection with remote peer", this.#fields());
    }
    this.#assembler?.close();
    this.#assembler = null;
    this.#response = null;
    this.#request = null;
    if (!this.#stopped) this.start();
  }

  #logFailure(reason: string): void {
    const isRepeated = reason === this.#lastFailure;
    this.#lastFailure = reason;
    const level = isRepeated ? "debug" : "warn";
    this.#parts.context.log(level, "stream of remote peer failed", { ...this.#fields(), error: reason });
  }

  #fields(): Record<string, unknown> {
    return {
      "stream-reader-type": STREAM_NAMES[this.#kind],
      "remote-peer-id": formatId(this.#parts.peerId),
    };
  }
}
