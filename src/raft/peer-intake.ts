import { RecordType } from "../ring/record-types.ts";
import type { MainFeed } from "./main-feed.ts";
import type { PeerEvents } from "./peer-network.ts";
import { type Consensus, MessageType, type RaftMessage, type SnapshotMeta } from "./raft.ts";
import type { RaftStages } from "./raft-stages.ts";
import type { RaftTracer } from "./raft-tracer.ts";
import type { SnapshotSender } from "./snapshot-sender.ts";
import type { SnapshotService } from "./snapshot-service.ts";

/** What the peers' messages are handed to. */
export interface PeerIntakeParts {
  readonly consensus: Consensus;
  readonly main: MainFeed;
  readonly service: SnapshotService;
  /** True if the log begins behind this snapshot: the core took it, now or before, and it may wait to be installed. */
  readonly isLogStart: (snapshot: SnapshotMeta) => boolean;
  readonly tracer: RaftTracer | null;
  readonly stages: RaftStages | null;
  /** Made after the network that calls. */
  readonly sender: () => SnapshotSender;
  readonly onRemoved: () => void;
  /** False: nothing of what peers send is taken any more. */
  readonly isOpen: () => boolean;
  /** Too much is under way to take what other members forward. */
  readonly isOverloaded: () => boolean;
  /** Something came in; the loop deals with it at the end of this turn. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
}

/** What the peers bring: the raft thread's other way in, beside {@link RecordIntake}. */
export class PeerIntake implements PeerEvents {
  readonly #parts: PeerIntakeParts;

  constructor(parts: PeerIntakeParts) {
    this.#parts = parts;
  }

  receive(message: RaftMessage): void {
    const { consensus, tracer, stages, isOpen, isOverloaded, onChange, onError } = this.#parts;
    if (!isOpen() || (message.type === MessageType.prop && isOverloaded())) return;
    try {
      const { lastIndex } = consensus;
      consensus.step(message);
      tracer?.received(message, consensus, lastIndex);
      if (message.type === MessageType.snap) this.#discardUnneeded(message.snapshot);
      if (stages !== null && message.type === MessageType.appResp && !message.reject)
        stages.acknowledged(message.from, message.index);
    } catch (error) {
      onError(error);
    }
    onChange();
  }

  #discardUnneeded(snapshot: SnapshotMeta | null): void {
    const { service, isLogStart } = this.#parts;
    if (snapshot !== null && !isLogStart(snapshot)) service.discard?.(snapshot);
  }

  checkSnapshot(snapshot: SnapshotMeta): Promise<void> {
    return this.#parts.service.verify?.(snapshot) ?? Promise.resolve();
  }

  unreachable(id: bigint): void {
    this.#parts.consensus.reportUnreachable(id);
    this.#parts.onChange();
  }

  snapshotStatus(id: bigint, ok: boolean): void {
    this.#parts.sender().ended(id);
    this.#parts.consensus.reportSnapshot(id, ok);
    this.#parts.onChange();
  }

  peerRequest(requestId: number, kind: number, body: Uint8Array): boolean {
    const payload = new Uint8Array(1 + body.length);
    payload[0] = kind;
    payload.set(body, 1);
    const isPosted = this.#parts.main.post(RecordType.peerRequest, requestId, payload);
    this.#parts.onChange();
    return isPosted;
  }

  removedFromCluster(): void {
    this.#parts.onRemoved();
  }
}
