/**
 * What the raft thread's loop needs of the network between members, and what it offers to it. Implemented over rafthttp by
 * `src/peer`, and in memory by the simulator and the tests. Everything here happens on the raft thread, and nothing waits.
 */

import type { RaftMessage, SnapshotMeta } from "./raft.ts";
import type { SnapshotFile } from "./snapshot-service.ts";

/** The way out. The loop calls it. */
export interface PeerNetwork {
  /**
   * Sends messages, in this order for one receiver and channel. They and their entries are borrowed: what goes out is encoded
   * before this returns. Never waits: what finds no room, or has an unknown receiver, is dropped, and the receiver reported by
   * {@link PeerEvents.unreachable} (in a later turn). `messages` never holds a snapshot or a message to this member itself.
   */
  send(messages: readonly RaftMessage[]): void;
  /**
   * Sends a snapshot: `message` (type snap, its `snapshot` equal to `file.meta`; kept) with the file behind it. The outcome comes as
   * {@link PeerEvents.snapshotStatus}, exactly once. The caller releases the file then.
   */
  sendSnapshot(message: RaftMessage, file: SnapshotFile): void;
  /**
   * The membership as applied: whom to keep streams to, at which URLs; whose messages to refuse (`removed`); what GET /members and
   * GET /version answer. Called when apply has told it at start, and after every change.
   * @param report JSON of a `MembershipReport` (src/cluster/membership.ts), as it lies in the `membership` record; kept
   */
  setMembership(report: Uint8Array): void;
  /** Since when the connection to `id` works without interruption, Unix ms; 0 = it does not, or nobody knows this id. */
  activeSinceMs(id: bigint): number;
  /**
   * Answers the HTTP request that {@link PeerEvents.peerRequest} passed on. The body is borrowed.
   * @param contentType 0 JSON, 1 protobuf, 2 text
   */
  respond(requestId: number, status: number, contentType: number, body: Uint8Array): void;
  /**
   * Backpressure: while true, streams that carry appends are not read, so that a member whose disk or apply thread is behind takes
   * no more than it can hold. Heartbeats, votes and everything else go on.
   */
  pauseAppends(paused: boolean): void;
  /** Closes connections and listeners. Nothing is received after it resolves. */
  stop(): Promise<void>;
}

/** The way in. The network calls it; the loop implements it. */
export interface PeerEvents {
  /**
   * To be asked between the arrival of a snapshot's file and {@link receive} of its message: rejects when the file is damaged. Then the
   * message is dropped, the sender told of a failure, and the file removed. The answer to the sender waits for it: whoever hears of
   * success sends what comes behind the snapshot.
   */
  checkSnapshot?(snapshot: SnapshotMeta): Promise<void>;
  /**
   * A message of a peer, checked as far as the transport can (cluster id, receiver, sender not removed). Entries are borrowed until
   * this returns. A snapshot's file lies complete and durable in the snapshot directory under `snapshotFileName(index)` by then.
   * The loop acts on it in a microtask, so all messages of one socket read are handled together.
   */
  receive(message: RaftMessage): void;
  /** Messages to `id` were dropped or failed. */
  unreachable(id: bigint): void;
  /** The snapshot for `id` arrived (its receiver answered 204) or failed. */
  snapshotStatus(id: bigint, ok: boolean): void;
  /**
   * An HTTP request that main answers; the answer comes through {@link PeerNetwork.respond}, or never. False = too many are waiting:
   * answer 503. The body is copied.
   * @param requestId the network's own number
   * @param kind a PeerRequestKind of `src/ring/record-types.ts`
   */
  peerRequest(requestId: number, kind: number, body: Uint8Array): boolean;
  /** A peer says that this member was removed from the cluster (403 or 410): it ends. */
  removedFromCluster(): void;
}

/** The network of a member that is alone for ever, in tests and in memory mode. */
export class NullNetwork implements PeerNetwork {
  send(): void {}
  sendSnapshot(): void {}
  setMembership(): void {}
  activeSinceMs(): number {
    return 0;
  }
  respond(): void {}
  pauseAppends(): void {}
  stop(): Promise<void> {
    return Promise.resolve();
  }
}
