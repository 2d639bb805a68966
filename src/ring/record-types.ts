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
 *
 *   main ── watch requests ─▶ apply ── the same, in order with events and marks ─▶ watch ── responses ─▶ main
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

  /**
   * As {@link propose}, of what only the leader of one term may propose (a lease's revocation): refused with `not leader` if this member
   * does not lead in that term any more. Payload: f64 term, then the bytes of one `InternalRaftRequest`.
   */
  proposeAsLeader: 62,

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
  /** A span of a sampled request has ended. Payload: see `trace.ts`. raft, apply, storage, watch -> main. */
  span: 27,
  /**
   * apply -> storage and apply -> watch: what came before it, back to the last such record or mark, is of a sampled request. Request id =
   * entry index. Flagged as traced; no payload behind the prefix.
   */
  traced: 28,
  /**
   * main -> raft -> apply. A request was slow: each reports what it did for its batch. Request id = index of an entry of that batch, 0 for a
   * read. Flagged as traced, sent when the request began; no payload behind the prefix.
   */
  slowRequest: 29,
  /** raft -> main. A peer's HTTP request that only main can answer. Request id: raft's own number. Payload: u8 PeerRequestKind, body. */
  peerRequest: 26,

  // apply -> raft
  /** Whether the conf change of the entry before which raft waits is valid. Request id = entry index. Payload: u32 1 = apply it, 0 = it changes nothing. */
  confChangeResult: 50,
  /** The membership, at start and after each change, in front of its {@link confChangeResult}. Payload: JSON of `MembershipReport` in src/cluster/membership.ts. Also apply -> main. */
  membership: 51,

  // apply -> main: maintenance, 72 to 79
  /** The alarms, at start and after each change. Payload: u64 member id, u32 AlarmType each (`src/apply/alarms.ts`). */
  alarms: 72,
  /** An entry took more than the quota allows, and no alarm says so yet: main has it raised. Payload: f64 bytes that it took. */
  spaceExceeded: 73,
  /** A compaction's hash, for members to compare. Payload: f64 revision, f64 compacted revision before, f64 hash. */
  compactionHash: 74,

  // main -> apply -> watch: apply hands these on behind the events of everything it has done. Request id = number of the stream.
  /** Payload: u16 LE length of a reason, the reason (UTF-8; not empty = refused by main), then the bytes of WatchCreateRequest. */
  watchCreate: 52,
  /** Payload: i64 LE watch id. */
  watchCancel: 53,
  /** Manual progress. No payload. */
  watchProgress: 54,
  /** The call has ended. No payload; the watch thread acknowledges it (see {@link watchAnswer}), and the number is free again. */
  watchClose: 55,
  /** Asks whether all requests in front of it were handled: the watch thread answers at once. Request id = 0. No payload. */
  watchFence: 65,

  // apply -> watch
  /** One change. Payload: f64 revision, u32 {@link WatchEventFlag} bits, u32 length of the KeyValue, KeyValue, previous KeyValue (or nothing). */
  watchEvent: 56,
  /**
   * Everything above belongs to revisions up to here. Payload: f64 revision, f64 compactRevision, u32 1 = every event since the
   * last mark is in the ring, 0 = some are missing, and only those behind this record are complete again.
   */
  watchMark: 57,

  // watch -> main
  /**
   * Events for many watchers. Payload: f64 revision for the header, u32 number of targets, u32 length of the events, the targets
   * (u32 stream, u32 low and u32 high half of the watch id), the events (fields 11 of WatchResponse).
   */
  watchEvents: 58,
  /** Anything for one stream. Request id = number of the stream. Payload: u8 {@link WatchAnswerKind}, then by kind. */
  watchAnswer: 59,

  // watch -> apply -> watch
  /** Asks for what only apply can read. Request id = number of the question. Payload: u8 {@link WatchQueryKind}, then by kind. */
  watchQuery: 60,
  /** Answers of a question, each a record, and a last one. Request id = its number. Payload: u8 {@link WatchQueryKind}, u8 1 = last, then by kind. */
  watchFound: 61,

  // apply -> main
  /** Leases that have expired and are to be revoked. Payload: f64 term in which this member leads, then u64 LE lease ids. */
  leaseExpired: 63,
  /** Leases to be checkpointed. Payload: f64 term in which this member leads, then the bytes of one LeaseCheckpointRequest. */
  leaseCheckpoint: 64,

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
  /** LeaseKeepAliveRequest -> LeaseKeepAliveResponse without header. Linearizable; by the primary lessor only. */
  leaseKeepAlive: 6,
  /** LeaseTimeToLiveRequest -> LeaseTimeToLiveResponse without header. Linearizable; by the primary lessor only. */
  leaseTimeToLive: 7,
  /** LeaseLeasesRequest -> LeaseLeasesResponse. */
  leaseList: 8,
  /** No request: answers the lessor's counters as JSON, for metrics. */
  leaseCounters: 9,
  /** No request: answers a message that holds only a response header, once storage has committed everything applied before. */
  commit: 16,
  /** No request: answers HashResponse, of what storage has committed. */
  hash: 17,
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
  /** Body: repeated field 1 {1 ID}, answered by repeated field 1 {1 ID, 2 TTL}: of this program's members only. */
  leaseKeepAlives: 6,
} as const;

/** Bits of a `watchEvent`. */
export const WatchEventFlag = {
  tombstone: 1,
  /** The previous KeyValue was looked up: none there means that there was none. */
  prevKnown: 2,
} as const;

/** First byte of a `watchAnswer` record. */
export const WatchAnswerKind = {
  /** f64 revision for the header (0 = none in it), then the fields of WatchResponse behind the header. */
  message: 1,
  /** The stream is closed, and nothing more comes under its number. */
  closed: 2,
  /** Begin of a long message: f64 revision for the header, f64 length of the fields behind it. */
  longHead: 3,
  /** Next bytes of it. */
  longData: 4,
  /** A `watchFence` has come through; of no stream. */
  fence: 5,
} as const;

/** First byte of a `watchQuery` record. */
export const WatchQueryKind = {
  /**
   * Memory mode: f64 first revision, f64 last revision, u32 records, u32 bytes after which to stop at the end of a revision. Found: as
   * in `watchEvent`. Last: f64 revision up to which everything was found.
   */
  history: 1,
  /** A list of f64 revision, u32 key length, key. Found: u32 position in the list, KeyValue at that revision. */
  previous: 2,
} as const;

/** Set on every part of a payload that was longer than a quarter of the ring, but the last. Ring-internal. */
export const FLAG_MORE_PARTS = 1;
/** The record is part of a sampled request and begins with its trace context; `trace.ts` has the layout. */
export const FLAG_TRACED = 2;
