/** What all parts of the transport share. */

import type { Agent, OutgoingHttpHeaders } from "node:http";
import type { Clock } from "../base/clock.ts";
import type { RaftMessage, SnapshotMeta } from "../raft/raft.ts";
import type { LocalMember } from "./peer-headers.ts";
import type { PeerCounters } from "./peer-counters.ts";
import type { PeerTiming } from "./peer-limits.ts";
import type { PeerLog } from "./peer-log.ts";
import type { PeerStatus } from "./peer-status.ts";
import type { UrlPicker } from "./url-picker.ts";

/** Why a message that came in is not for the loop; null = it has it now. */
export type Refusal = "removed" | "mismatch" | "local" | null;

export interface PeerContext {
  readonly local: LocalMember;
  /** Headers of every request to a raft endpoint. */
  readonly headers: OutgoingHttpHeaders;
  readonly timing: PeerTiming;
  readonly clock: Clock;
  readonly log: PeerLog;
  /** Connections of everything but streams. */
  readonly agent: Agent;
  /** Checks a message and hands it to the loop. One of a snapshot without its file is refused. */
  receive(message: RaftMessage): Refusal;
  /** The same for a snapshot's message, once its file is in place. */
  receiveSnapshot(message: RaftMessage): Refusal;
  /** The file of a received snapshot lies in its place: rejects when it is damaged. */
  checkSnapshot(snapshot: SnapshotMeta): Promise<void>;
  /** See {@link PeerTransportOptions.onSnapshotStored}. */
  snapshotStored(tookMs: number, syncMs: number): void;
  /** Messages to this peer were lost. Told to the loop in a later turn, once a turn. */
  unreachable(id: bigint): void;
  snapshotStatus(id: bigint, ok: boolean): void;
  /** A peer said that this member was removed. */
  removedFromCluster(): void;
}

/** What one peer's parts share. */
export interface PeerParts {
  readonly context: PeerContext;
  readonly peerId: bigint;
  readonly picker: UrlPicker;
  readonly status: PeerStatus;
  readonly counters: PeerCounters;
}
