/** Every limit of the apply layer. */
import { assert } from "../base/assert.ts";

/**
 * A longer answer is streamed: none of it but its length leaves before main gives credit. A shorter one leaves unasked, so
 * this is what each request in progress of a client that does not read can cost main.
 */
export const RESPONSE_INLINE_BYTES_MAX = 64 * 1024;

/** Most keys that one answer may walk at once; more are walked in slices, so that applies need not wait over 1 ms. */
export const RESPONSE_INLINE_KEYS_MAX = 2000;

/** A produced slice ends at the first key that reaches this many bytes. */
export const SLICE_BYTES = 64 * 1024;
/** Most keys that a slice walks, measures, sorts or writes. */
export const SLICE_KEYS = 1000;

/** An answer that has had so many slices is long: 4 MiB, or 64,000 keys. */
export const LONG_ANSWER_SLICES = 64;
/**
 * Pause after a slice of a long answer while raft brings other work, ms. Whoever runs on goes on until the kernel's tick when cores
 * are few, and each thread on a Put's way waits for a core; one that sleeps now and then is passed by. Longer ones cost the answer
 * more than they spare the others.
 */
export const SLICE_REST_MS = 0.1;
/** Slices of long answers after which raft's last record was long ago: the answers are alone, and pauses spare nobody. */
export const SLICES_ALONE = 64;

/** Streamed answers being measured or produced; the others wait for their turn, or for credit. */
export const STREAMS_ACTIVE_MAX = 64;
/** Streamed answers altogether; more are refused with "too many requests". Each pins its revision and keeps two cursors. */
export const STREAMS_MAX = 4096;

/** Memory of all sorted answers' metadata together; one that needs more alone still runs, when no other does. */
export const SORT_BYTES_MAX = 96 * 1024 * 1024;
/**
 * Sorted answers of up to so many keys leave equal keys in the order in which Go's sort leaves them (it is not stable).
 * Longer ones are sorted in slices, by key among equals.
 */
export const GO_SORT_KEYS_MAX = 2000;

/** Longest message that Go's gRPC sends or takes. */
export const MESSAGE_BYTES_MAX = 2 ** 31 - 1;

/** Keep-alives that wait for the revocation of their lease. Each is a request that main holds, too. */
export const KEEP_ALIVES_PARKED_MAX = 1 << 17;

/** Keys' worth of compaction in one slice. */
export const COMPACT_SLICE_KEYS = 500;

/** A scratch buffer that one big value has grown is given back when it is this long. */
export const SCRATCH_KEPT_BYTES_MAX = 4 * 1024 * 1024;

assert(RESPONSE_INLINE_BYTES_MAX <= SCRATCH_KEPT_BYTES_MAX, "inline answers are built in the scratch buffer");
