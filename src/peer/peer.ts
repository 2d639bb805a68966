/** One member as this one sees it: all channels to it, and the choice among them (interop: which channel carries what). */

import { formatId } from "../cluster/identity.ts";
import { MessageType, type RaftMessage } from "../raft/raft.ts";
import type { SnapshotFile } from "../raft/snapshot-service.ts";
import type { PeerContext, PeerParts } from "./peer-context.ts";
import { PeerCounters } from "./peer-counters.ts";
import { PeerStatus } from "./peer-status.ts";
import { Pipeline } from "./pipeline.ts";
import { Prober } from "./prober.ts";
import { SnapshotSender } from "./snapshot-sender.ts";
import { StreamReader } from "./stream-reader.ts";
import { type StreamKind, StreamWriter } from "./stream-writer.ts";
import { UrlPicker } from "./url-picker.ts";

/** Between two lines about dropped messages. */
const DROP_LOG_INTERVAL_MS = 1000;

function makeParts(context: PeerContext, peerId: bigint, urls: readonly string[]): PeerParts {
  const counters = new PeerCounters();
  const status = new PeerStatus(peerId, { ...context, counters });
  return { context, peerId, picker: new UrlPicker(urls), status, counters };
}

/** Somebody whose URLs are known, and who is not a member (yet), as far as we know: it gets answers by POST. */
export class Remote {
  readonly #parts: PeerParts;
  readonly #pipeline: Pipeline;

  constructor(context: PeerContext, id: bigint, urls: readonly string[]) {
    this.#parts = makeParts(context, id, urls);
    this.#pipeline = new Pipeline(this.#parts);
  }

  /** False: the message found no room. */
  send(message: RaftMessage): boolean {
    return this.#pipeline.send(message);
  }

  /** It is a member now. What was sent to it and is still on its way gets there: this must not be used or stopped any more. */
  promote(urls: readonly string[]): Peer {
    this.#parts.picker.update(urls);
    return new Peer(this.#parts, this.#pipeline);
  }

  stop(): void {
    this.#pipeline.stop();
  }
}

/** A member of the applied configuration. */
export class Peer {
  readonly id: bigint;
  readonly #parts: PeerParts;
  readonly #writers: Readonly<Record<StreamKind, StreamWriter>>;
  readonly #readers: Readonly<Record<StreamKind, StreamReader>>;
  readonly #pipeline: Pipeline;
  readonly #snapshots: SnapshotSender;
  readonly #prober: Prober;
  #loggedDropMs = Number.NEGATIVE_INFINITY;

  constructor(parts: PeerParts, pipeline: Pipeline) {
    this.id = parts.peerId;
    this.#parts = parts;
    this.#pipeline = pipeline;
    this.#writers = {
      message: new StreamWriter("message", parts),
      msgapp: new StreamWriter("msgapp", parts),
    };
    this.#readers = {
      message: new StreamReader("message", parts),
      msgapp: new StreamReader("msgapp", parts),
    };
    this.#snapshots = new SnapshotSender(parts);
    this.#prober = new Prober(parts);
    this.#readers.message.start();
    this.#readers.msgapp.start();
  }

  get counters(): PeerCounters {
    return this.#parts.counters;
  }

  get urls(): readonly string[] {
    return this.#parts.picker.urls;
  }

  /** Unix ms; 0 = inactive. */
  get activeSinceMs(): number {
    return this.#parts.status.sinceMs;
  }

  /** Encodes a message into its channel; {@link flush} sends it. What finds no room is lost and reported. */
  append(message: RaftMessage): void {
    const { message: general, msgapp } = this.#writers;
    let isTaken: boolean;
    if (message.type === MessageType.app && msgapp.isAttached) isTaken = msgapp.append(message);
    else if (general.isAttached) isTaken = general.append(message);
    else isTaken = this.#pipeline.send(message);
    if (!isTaken) this.#dropped(message);
  }

  flush(): void {
    this.#writers.message.flush();
    this.#writers.msgapp.flush();
  }

  sendSnapshot(message: RaftMessage, file: SnapshotFile): void {
    this.#snapshots.send(message, file);
  }

  /** The streams that this peer dialed. */
  writer(kind: StreamKind): StreamWriter {
    return this.#writers[kind];
  }

  heartbeat(): void {
    this.#writers.message.heartbeat();
    this.#writers.msgapp.heartbeat();
  }

  pauseAppends(paused: boolean): void {
    this.#readers.msgapp.pause(paused);
  }

  update(urls: readonly string[]): void {
    this.#parts.picker.update(urls);
  }

  stop(): void {
    this.#prober.stop();
    this.#readers.message.stop();
    this.#readers.msgapp.stop();
    this.#writers.message.close();
    this.#writers.msgapp.close();
    this.#pipeline.stop();
    this.#snapshots.stop();
  }

  #dropped(message: RaftMessage): void {
    const { context, counters, peerId, status } = this.#parts;
    counters.sentFailures++;
    context.unreachable(peerId);
    const nowMs = context.clock.monotonicMs();
    if (nowMs - this.#loggedDropMs < DROP_LOG_INTERVAL_MS) return;
    this.#loggedDropMs = nowMs;
    context.log("warn", "dropped internal Raft message since sending buffer is full", {
      "message-type": message.type,
      "remote-peer-id": formatId(peerId),
      "remote-peer-active": status.isActive,
    });
  }
}
