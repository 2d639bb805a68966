import type { PeerNetwork } from "./peer-network.ts";
import { type Consensus, MessageType, type RaftMessage } from "./raft.ts";
import type { RaftLoopOptions } from "./raft-loop-options.ts";
import { SnapshotSender } from "./snapshot-sender.ts";

/** The core's messages on their way out: to the network, with a snapshot's file, or back into the core. */
export class Outbox {
  readonly snapshots: SnapshotSender;
  readonly #options: RaftLoopOptions;
  readonly #consensus: Consensus;
  readonly #network: PeerNetwork;
  readonly #onFailed: () => void;

  /** @param onFailed the core was told, in a turn of its own, that a snapshot could not be sent */
  constructor(options: RaftLoopOptions, network: PeerNetwork, onFailed: () => void) {
    this.#options = options;
    this.#consensus = options.consensus;
    this.#network = network;
    this.#onFailed = onFailed;
    this.snapshots = new SnapshotSender({
      service: options.snapshots,
      network,
      tickMs: options.tickMs,
      onFailed: (id, error) => this.#snapshotFailed(id, error),
    });
  }

  /** Sends messages to others. They are borrowed, snapshots excepted. */
  send(messages: readonly RaftMessage[]): void {
    const { tracer } = this.#options;
    if (tracer?.isActive) messages = tracer.outgoing(messages);
    if (!messages.some(({ type }) => type === MessageType.snap)) {
      this.#network.send(messages);
      return;
    }
    this.#network.send(messages.filter(({ type }) => type !== MessageType.snap));
    for (const message of messages) {
      if (message.type !== MessageType.snap || this.snapshots.send(message)) continue;
      queueMicrotask(() => this.#snapshotFailed(message.to, "too many snapshots are being sent"));
    }
  }

  /** The disk has what these messages promise. Those to this member itself go back into the core. */
  deliver(messages: readonly RaftMessage[]): void {
    const { nodeId } = this.#consensus;
    const others = messages.filter(({ to }) => to !== nodeId);
    if (others.length > 0) this.send(others);
    if (others.length === messages.length) return;
    for (const message of messages) if (message.to === nodeId) this.#consensus.step(message);
  }

  #snapshotFailed(id: bigint, error: unknown): void {
    this.#options.log("warn", "failed to send a snapshot", {
      "remote-peer-id": id.toString(16),
      error: String(error),
    });
    this.#consensus.reportSnapshot(id, false);
    this.#onFailed();
  }
}
