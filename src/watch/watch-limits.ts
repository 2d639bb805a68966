/** Every limit of the watch thread. */
import { assert } from "../base/assert.ts";

/** etcd's: most revisions in one response to a watcher that catches up. */
export const CATCH_UP_REVISIONS_MAX = 1000;
/** A slice of catching up ends at the first revision that reaches one of these: about a millisecond of reading. */
export const CATCH_UP_RECORDS_MAX = 2000;
export const CATCH_UP_BYTES_MAX = 128 * 1024;
/** Bytes of keys in one question for previous values, unless a single key is longer. */
export const QUERY_BYTES_MAX = 256 * 1024;

/** Recent events that stay in memory although storage has committed them: who is a little behind need not read the database. */
export const WINDOW_BYTES_KEPT = 4 * 1024 * 1024;
export const WINDOW_CHUNK_BYTES = 256 * 1024;
/** Chunks kept for reuse. */
export const WINDOW_CHUNKS_POOLED = 8;

/** Bytes of responses that a stream may have under way before its client has taken any. Grows with a client that reads. */
export const STREAM_CREDIT_FIRST = 64 * 1024;
export const STREAM_CREDIT_MAX = 4 * 1024 * 1024;
/** Main lets windows grow until all of them together are this large: what clients that stop reading may cost. */
export const STREAM_CREDIT_TOTAL = 128 * 1024 * 1024;
/** Bytes beyond its credit that progress notifications may take; more are dropped, as etcd drops them when its queue is full. */
export const PROGRESS_DEBT_MAX = 64 * 1024;
/** Counted for a response beside its events: header, watch id, framing. */
export const RESPONSE_OVERHEAD_BYTES = 64;

/** Events of a response that travel in one record with its targets; longer ones go alone, in pieces. */
export const SHARED_EVENTS_BYTES_MAX = 256 * 1024;
/** Watchers of one record, and bytes that main copies for all of them: a record is the least that main does at a time. */
export const SHARED_TARGETS_MAX = 8192;
export const SHARED_COPIES_BYTES_MAX = 2 * 1024 * 1024;
/** One piece of a long response. */
export const LONG_PIECE_BYTES = 256 * 1024;
/** A buffer that one long response has grown is given back beyond this. */
export const SCRATCH_KEPT_BYTES_MAX = 1024 * 1024;

/** Tables that were shorter than this at their busiest are not moved to give memory back: it is less than a megabyte. */
export const SPARSE_SLOTS_MIN = 4096;

/** Records of one ring handled in a turn. */
export const RECORDS_PER_TURN_MAX = 1024;
/** Progress ticks are looked at this often. */
export const PROGRESS_GRANULARITY_MS = 50;

assert(SHARED_EVENTS_BYTES_MAX >= CATCH_UP_BYTES_MAX, "an ordinary slice is one record");
