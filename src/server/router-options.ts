/** What the router is made of, and what it hands out. */

import type { MainMeters } from "../base/thread-meters.ts";
import type { RingReader, RingWriter } from "../ring/ring.ts";

export interface RouterOptions {
  readonly toRaft: RingWriter;
  readonly toApply: RingWriter;
  /** Credits of watch streams; without, nobody can watch. */
  readonly toWatch?: RingWriter;
  /** Rings that bring answers and states: from apply, raft and storage. */
  readonly inboxes: readonly RingReader[];
  readonly memberId: bigint;
  /** etcd's request id suffix to start from: `(unix ms & (2^40 - 1)) << 8`. */
  readonly firstRequestId: number;
  readonly requestTimeoutMs: number;
  readonly electionTimeoutMs: number;
  /** `--max-request-bytes` */
  readonly requestBytesMax: number;
  /** Called with what can only be a defect; ends the process. */
  readonly onFailure: (error: unknown) => void;
  /** Where it counts; without, nobody reads the counts. */
  readonly meters?: MainMeters;
  /** Told at each sweep how late it was, and the time: a sample of how long the event loop is held up. */
  readonly onSweep?: (lateMs: number, nowMs: number) => void;
}

/** Takes the payload of one record, `bytes[start, end)`, and its request id. */
export type RecordHandler = (bytes: Uint8Array, start: number, end: number, id: number) => void;

/** A record in a ring's memory: a proposal's InternalRaftRequest, or a read's kind and message. */
export interface RecalledRecord {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly isProposal: boolean;
}
