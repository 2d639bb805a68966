/** Every limit of the apply layer. */
import { assert } from "../base/assert.ts";

/**
 * Most bytes of a streamed answer that main may hold unsent: apply sends so many ahead of the client's taking them. An
 * answer of at most this size is sent whole, since it could cost no more memory than a stream's window.
 */
export const STREAM_WINDOW_BYTES = 512 * 1024;
export const RESPONSE_INLINE_BYTES_MAX = STREAM_WINDOW_BYTES;

/** Most keys that one answer may walk at once; more are walked in slices, so that applies need not wait over 1 ms. */
export const RESPONSE_INLINE_KEYS_MAX = 2000;

/** A produced slice ends at the first key that reaches this many bytes. */
export const SLICE_BYTES = 64 * 1024;
/** Most keys that a slice walks, measures, sorts or writes. */
export const SLICE_KEYS = 1000;

/** Streamed answers in production; the others wait. Main's memory for them is at most this times the window. */
export const STREAMS_ACTIVE_MAX = 64;
/** Requests that wait for a place among the active; more are refused with "too many requests". */
export const STREAMS_QUEUED_MAX = 4096;

/** Memory of all sorted answers' metadata together; one that needs more alone still runs, when no other does. */
export const SORT_BYTES_MAX = 96 * 1024 * 1024;
/**
 * Sorted answers of up to so many keys leave equal keys in the order in which Go's sort leaves them (it is not stable).
 * Longer ones are sorted in slices, by key among equals.
 */
export const GO_SORT_KEYS_MAX = 2000;

/** Longest message that Go's gRPC sends or takes. */
export const MESSAGE_BYTES_MAX = 2 ** 31 - 1;

/** Keys' worth of compaction in one slice. */
export const COMPACT_SLICE_KEYS = 500;

/** A scratch buffer that one big value has grown is given back when it is this long. */
export const SCRATCH_KEPT_BYTES_MAX = 4 * 1024 * 1024;

assert(SLICE_BYTES <= STREAM_WINDOW_BYTES, "a slice must fit the window", SLICE_BYTES, STREAM_WINDOW_BYTES);
assert(RESPONSE_INLINE_BYTES_MAX <= SCRATCH_KEPT_BYTES_MAX, "inline answers are built in the scratch buffer");
