/** Times and limits of the peer protocol: etcd's values where peers notice them, ours where only memory is at stake. */

/** Times in ms; tests shorten them. */
export interface PeerTiming {
  /** Between two attempts to dial the same stream. */
  readonly redialMs: number;
  /** A stream, a request body or an answer that does not move for so long is given up. */
  readonly idleTimeoutMs: number;
  /** Between two link heartbeats on a stream; the reader gives up after three. */
  readonly linkHeartbeatMs: number;
  /** A message's or small request's body must be there so long after its headers, however busily it drips. */
  readonly bodyMs: number;
  readonly probeMs: number;
  /** A snapshot's receiver may need so long after the last byte: it syncs a large file before it answers. */
  readonly snapshotAnswerMs: number;
  /** The main thread's answer to a peer's request: its own limit is 7 s. */
  readonly mainAnswerMs: number;
}

export const PEER_TIMING: PeerTiming = {
  redialMs: 100,
  idleTimeoutMs: 5000,
  linkHeartbeatMs: 5000 / 3,
  bodyMs: 30_000,
  probeMs: 4000,
  snapshotAnswerMs: 300_000,
  mainAnswerMs: 15_000,
};

/** Messages that wait on one stream for its socket; what comes beyond is dropped. etcd's value. */
export const STREAM_MESSAGES_MAX = 4096;
/** Bytes that wait on one stream for its socket: a third of a second of a 100 MB/s network, and the memory a stalled peer costs. */
export const STREAM_BYTES_MAX = 32 * 1024 * 1024;
/** Messages of one `send` go out in one write up to this size. */
export const STREAM_WRITE_BYTES = 1024 * 1024;

/** Requests at once, and messages that wait for one. etcd's values. */
export const PIPELINE_REQUESTS_MAX = 4;
export const PIPELINE_MESSAGES_MAX = 64;
/** Longest body of POST /raft: far above --max-request-bytes and the 1 MiB of an append, far below a member's memory. */
export const PIPELINE_BODY_BYTES_MAX = 64 * 1024 * 1024;

/** Longest message in front of a snapshot; etcd's limit since 3.6.14. */
export const SNAPSHOT_MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
/** Snapshots received at once: each is a file as large as the database. A leader sends one. */
export const SNAPSHOTS_RECEIVED_MAX = 4;

/** Requests that wait for the main thread's answer. */
export const MAIN_REQUESTS_MAX = 256;
/** Longest body of a request for the main thread; etcd's limit for leases since 3.6.14. */
export const MAIN_BODY_BYTES_MAX = 64 * 1024;

/** Members that are known by their requests only. */
export const REMOTES_MAX = 64;
/** Connections of a peer listener: a member needs two streams, four pipelines and now and then a request more. */
export const CONNECTIONS_MAX = 1024;
