/**
 * What travels through the rings. One list for all of them, so that a dump of any ring can be read.
 *
 * ```
 *            propose, read                committed entry, read            revisions, meta
 *   main ───────────────────▶ raft ───────────────────────────▶ apply ───────────────────▶ storage
 *    ▲  ▲                      │                                 │ ▲                        │  │
 *    │  └──── failed, status ──┘   ◀──── durable index ──────────┼─┼────────────────────────┼──┘
 *    └─────────────── response, error, stream ───────────────────┘ └────── committed ───────┘
 *    └─────────────── serializable read, credit, cancel ──────────▶ (apply)
 * ```
 *
 * Request ids are the low 48 bits of etcd's request id: `(memberId & 0xffff) << 48 | id`. They are unique in the life of a process.
 */
export const RecordType = {
  // main -> raft
  /** Payload: the bytes of one `InternalRaftRequest`, its header.ID set to the member's prefix and this record's request id. */
  propose: 1,
  /** A linearizable read; main -> raft, and raft -> apply once leadership is confirmed. Payload: u8 {@link ReadKind}, then the request's bytes. */
  read: 2,
  /** The client went away or its deadline passed: apply drops what it still holds for this request id. No payload. */
  cancel: 3,
  /** main -> apply: the client has taken so many bytes of a streamed answer. Payload: u32 bytes. */
  credit: 4,

  /** main -> raft. Payload: the bytes of one raftpb.ConfChange (V1) to propose; its ID holds the request id, which apply answers. */
  proposeConfChange: 5,
  /** main -> raft. Answers a {@link peerRequest}. Payload: u16 HTTP status, u8 content type (0 JSON, 1 protobuf, 2 text), u8 0, body. */
  peerResponse: 6,
  /** main -> raft. Payload: u64 id of the member that is to lead. No answer: main watches who leads. */
  transferLeader: 7,
  /** main -> raft, which answers with `response`. No payload. The answer: JSON of `RaftReport` in src/raft/raft-report.ts. */
  raftReport: 8,

  // raft -> apply
  /** A committed entry. Request id = entry index. Payload: f64 term, u32 entry type (raftpb.EntryType), u32 zero, then the entry's data. */
  entry: 10,
  /** Term or leader changed. Payload: f64 term, u64 leader id (0 = none), u32 1 if this member leads. Also raft -> main. */
  leader: 11,

  // raft -> main, apply -> main
  /** Payload: u32 ErrorId, then an optional UTF-8 text that replaces the table's. */
  error: 20,
  /** Payload: the response message's bytes, without gRPC's 5-byte prefix. */
  response: 21,
  /** Start of an answer that comes in pieces. Payload: f64 length in bytes of the whole message. */
  streamHead: 22,
  /** Next bytes of that message; it ends when all announced bytes have been sent. */
  streamData: 23,
  /** raft -> main. Payload: f64 commitIndex, f64 lastIndex, f64 term. For Status; sent when they changed, once a batch. */
  raftStatus: 24,
  /** apply -> main. Payload: f64 appliedIndex, f64 revision, f64 compactRevision. Once a batch. */
  applyStatus: 25,
  /** raft -> main. A peer's HTTP request that only main can answer. Request id: raft's own number. Payload: u8 PeerRequestKind, body. */
  peerRequest: 26,

  // apply -> raft
  /** Whether the conf change of the entry before which raft waits is valid. Request id = entry index. Payload: u32 1 = apply it, 0 = it changes nothing. */
  confChangeResult: 50,
  /** The membership, at start and after each change, in front of its {@link confChangeResult}. Payload: JSON of `MembershipReport` in src/cluster/membership.ts. Also apply -> main. */
  membership: 51,

  // apply -> storage
  /** Payload: u8 key length (17, or 18 for a tombstone), the key of bucket `key`, then the KeyValue bytes. Ascending keys. */
  revisionPut: 30,
  /** Same key, no value: compaction removes this revision. */
  revisionDelete: 31,
  /** Payload: u8 bucket (BUCKETS index), u16 LE key length, key, value. */
  bucketPut: 32,
  /** Payload: u8 bucket, u16 LE key length, key. */
  bucketDelete: 33,
  /** Everything before this record belongs to entries up to here. Request id = consistent index. Payload: f64 term, f64 revision. */
  applied: 34,
  /** Commit now, whatever the batch interval says, and acknowledge with `committed`. Request id = a token. */
  flush: 35,

  // storage -> apply
  /** LMDB holds, durably, everything up to this consistent index. Request id = consistent index. Payload: f64 revision, f64 token of the newest flush served (0 = none), f64 bytes allocated, f64 bytes in use. Also storage -> raft and storage -> main. */
  committed: 40,
} as const;

/** First byte of a `read` record. */
export const ReadKind = {
  /** RangeRequest -> RangeResponse */
  range: 1,
  /** TxnRequest with no write -> TxnResponse */
  txn: 2,
  /** No request: answers a message that holds only a response header, once everything committed before it is applied. */
  barrier: 3,
  /** HashKVRequest -> HashKVResponse */
  hashKv: 4,
  /** No request: answers MemberListResponse. */
  memberList: 5,
} as const;

/** First byte of a `peerRequest` record. */
export const PeerRequestKind = {
  /** Body: u64 LE member id. */
  promote: 1,
  /** Body: JSON `{"revision":N}`. */
  hashKv: 2,
  /** Body: protobuf LeaseKeepAliveRequest. */
  leaseKeepAlive: 3,
  /** Body: protobuf LeaseInternalRequest. */
  leaseTimeToLive: 4,
  /** No body. */
  downgradeEnabled: 5,
} as const;

/** Set on every part of a payload that was longer than a quarter of the ring, but the last. Ring-internal. */
export const FLAG_MORE_PARTS = 1;
/** The record begins with a trace context: trace id 16 bytes, span id 8 bytes. */
export const FLAG_TRACED = 2;
