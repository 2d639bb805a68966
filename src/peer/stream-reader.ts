/**
 * One of the two streams that this member dials to a peer: a GET whose answer never ends, and in it the peer's messages. It is
 * dialed again, one attempt in 100 ms, for as long as the peer is a member; an end of the stream is nothing special.
 */

import type { IncomingHttpHeaders } from "node:http";
import { formatId } from "../cluster/identity.ts";
import type { RaftMessage } from "../raft/raft.ts";
import { AppendStreamParser } from "./append-stream.ts";
import { FrameAssembler } from "./frame-assembler.ts";
import { MessageStreamParser } from "./message-stream.ts";
import type { PeerParts } from "./peer-context.ts";
import { reasonOf } from "./peer-log.ts";
import { majorMinor, serverVersionOf, supportsStreams } from "./peer-headers.ts";
import { PeerStream } from "./peer-stream.ts";
import { SERVER_VERSION } from "../base/version.ts";
import { MessageDecoder } from "./raft-message-decode.ts";
import { STREAM_NAMES, type StreamKind } from "./stream-writer.ts";

/** Body of a refusal: a line of text. */
const REFUSAL_BYTES_MAX = 64 * 1024;

/** An answer that is no stream. */
interface Refusal {
  readonly status: number;
  text: string;
}

export class StreamReader {
  readonly #kind: StreamKind;
  readonly #parts: PeerParts;
  readonly #decoder = new MessageDecoder();
  #stream: PeerStream | null = null;
  /** While the answer is one that brings messages. */
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
    this.#stream?.destroy();
  }

  /** While paused nothing is read; the peer notices by its full socket only. */
  pause(paused: boolean): void {
    this.#paused = paused;
    if (this.#assembler === null) return;
    this.#stream?.pause(paused);
    this.#limitSilence();
  }

  #dial(): void {
    const { context, peerId, picker } = this.#parts;
    this.#dialedMs = context.clock.monotonicMs();
    const url = picker.pick();
    const path = `/raft/stream/${this.#kind}/${formatId(context.local.memberId)}`;
    const headers = { ...context.headers, "X-Raft-To": formatId(peerId) };
    let refusal: Refusal | null = null;
    this.#stream = new PeerStream(url, path, headers, {
      answered: (status, answer) => (refusal = this.#answered(url, status, answer)),
      data: (bytes, start, end) => {
        if (refusal === null) this.#read(bytes, start, end);
        else if (refusal.text.length < REFUSAL_BYTES_MAX)
          refusal.text += Buffer.from(bytes.subarray(start, end)).toString();
      },
      closed: (error) => this.#closed(url, refusal, error),
    });
    this.#limitSilence();
  }

  /** The peer sends a link heartbeat thrice in this time. */
  #limitSilence(): void {
    this.#stream?.setTimeout(this.#paused ? 0 : this.#parts.context.timing.idleTimeoutMs);
  }

  /** Returns why it brings no messages, or null if it does. */
  #answered(url: string, status: number, headers: IncomingHttpHeaders): Refusal | null {
    const remote = serverVersionOf(headers);
    const { local } = this.#parts.context;
    if (remote < majorMinor(local.serverVersion ?? SERVER_VERSION) && !supportsStreams(remote)) {
      this.#stream?.destroy(new Error("unsupported stream type"));
      return { status, text: "" };
    }
    if (status !== 200) return { status, text: "" };
    this.#begin();
    return null;
  }

  #begin(): void {
    const { context, peerId, status } = this.#parts;
    status.activate();
    this.#lastFailure = "";
    context.log("info", "established TCP streaming connection with remote peer", this.#fields());
    const receive = (message: RaftMessage, bytes: number): void => this.#receive(message, bytes);
    const ids = { local: context.local.memberId, remote: peerId };
    this.#assembler = new FrameAssembler(
      this.#kind === "msgapp"
        ? new AppendStreamParser(this.#decoder, ids, receive)
        : new MessageStreamParser(this.#decoder, receive),
    );
    if (this.#paused) this.pause(true);
  }

  #read(bytes: Uint8Array, start: number, end: number): void {
    if (this.#assembler?.push(bytes, start, end) === false && !this.#stopped)
      this.#stream?.destroy(new Error("malformed stream"));
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

  /** An end, a reset and a malformed frame alike lead here, and to the next attempt. */
  #closed(url: string, refusal: Refusal | null, error: Error | null): void {
    const hasRead = this.#assembler !== null;
    this.#assembler?.close();
    this.#assembler = null;
    this.#stream = null;
    if (hasRead) {
      if (error !== null) this.#broken(error);
      this.#parts.context.log("warn", "lost TCP streaming connection with remote peer", this.#fields());
    } else if (refusal !== null && error === null) this.#refused(url, refusal);
    else this.#failed(url, error);
    if (!this.#stopped) this.start();
  }

  #refused(url: string, { status, text }: Refusal): void {
    const { context, peerId } = this.#parts;
    if (status === 410) {
      context.log("error", "the member has been permanently removed from the cluster", {
        "remote-peer-id": formatId(peerId),
      });
      context.removedFromCluster();
    }
    this.#failed(url, new Error(`${status} ${text.replace(/\n$/, "")}`));
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
