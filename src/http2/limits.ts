/** Every maximum of the HTTP/2 layer. Each is there because something grows without it; its comment says what. */
import { assert } from "../base/assert.ts";

/** Longest frame payload either side sends. The protocol's minimum: longer frames would only delay other streams. */
export const FRAME_PAYLOAD_BYTES_MAX = 16_384;

/** Dynamic table of either direction; the protocol's default, so no SETTINGS race at the start. */
export const HEADER_TABLE_BYTES_MAX = 4_096;

/** Encoded bytes of one header block over HEADERS and CONTINUATION: what a block that never ends may pin. */
export const HEADER_BLOCK_BYTES_MAX = 65_536;

/** CONTINUATION frames a block. Empty ones would pass the byte limit for ever (CVE-2024-27316 and its kin). */
export const CONTINUATION_FRAMES_MAX = 32;

/** Decoded size of a header list (RFC 9113 section 6.5.2: name + value + 32 a field); stops HPACK bombs. */
export const HEADER_LIST_BYTES_MAX = 65_536;

/** Receive window of a stream: bytes a client may send before it hears from us. */
export const STREAM_WINDOW_BYTES = 1_048_576;

/** Receive window of a connection: a full window on sixteen streams. */
export const CONNECTION_WINDOW_BYTES = 16_777_216;

/** Streams a connection, whatever the configuration says: each costs a few hundred bytes and a map entry. */
export const CONCURRENT_STREAMS_MAX = 131_072;

/**
 * Rapid reset (CVE-2023-44487, CVE-2023-39325), and resets that a client provokes from us (CVE-2025-8671): a leaky bucket a
 * connection. The burst lets a client cancel some thousand calls at once; every call answered in full earns one back.
 */
export const RESETS_BURST_MAX = 4_000;
export const RESETS_REFILL_PER_SECOND = 200;

/**
 * Frames that move nothing: PING, SETTINGS, PRIORITY, unknown types, empty DATA, WINDOW_UPDATE beyond two for each DATA frame sent.
 * A leaky bucket a connection; ordinary clients send a handful a second.
 */
export const IDLE_FRAMES_BURST_MAX = 10_000;
export const IDLE_FRAMES_REFILL_PER_SECOND = 1_000;

/** Output (queued and given to the socket) beyond which DATA waits in its stream's own queue. */
export const OUTPUT_BYTES_HIGH = 1_048_576;

/** Output beyond which the client is not read until it has read: it sends on without reading its answers. */
export const OUTPUT_BYTES_PAUSE = 2_097_152;

/** Output beyond which the connection is given up: only a client that does not read its answers gets here. */
export const OUTPUT_BYTES_MAX = 16_777_216;

/** DATA of all streams of a connection that waits for windows, beyond which new streams are refused. */
export const PENDING_BYTES_HIGH = 67_108_864;

/** The same, beyond which the connection is given up. Room for the answers to calls that began below the mark. */
export const PENDING_BYTES_MAX = 134_217_728;

/** DATA of all connections that waits for windows, beyond which the one that has most of it is given up. */
export const PENDING_BYTES_TOTAL_MAX = 268_435_456;

/** A connection must have sent preface and SETTINGS by then, and every header block must end within this. */
export const HANDSHAKE_MS_MAX = 10_000;

/** How long a connection that was closed by GOAWAY may linger for the client to read it. */
export const LINGER_MS_MAX = 1_000;

/** Streams whose end is remembered, to tell late frames (ignored, RFC 9113 section 5.1) from wrong ones. Power of two. */
export const CLOSED_STREAMS_REMEMBERED = 256;

/** Decoded header blocks kept a connection, and the longest block kept. */
export const CACHED_BLOCKS_MAX = 32;
export const CACHED_BLOCK_BYTES_MAX = 512;

/** Literal fields kept a connection, and the longest kept. Power of two. */
export const CACHED_FIELDS_MAX = 64;
export const CACHED_FIELD_BYTES_MAX = 256;

/** Header lists kept a connection, and the largest kept, by its decoded size. Power of two. */
export const CACHED_LISTS_MAX = 32;
export const CACHED_LIST_BYTES_MAX = 2_048;

/** One buffer of output; must hold any frame whole. */
export const OUTPUT_CHUNK_BYTES = 65_536;

assert(OUTPUT_CHUNK_BYTES >= FRAME_PAYLOAD_BYTES_MAX + 9, "an output chunk holds any frame");
assert(OUTPUT_BYTES_PAUSE > OUTPUT_BYTES_HIGH, "DATA alone does not stop the reading");
assert(OUTPUT_BYTES_MAX > 2 * OUTPUT_BYTES_PAUSE, "reading stops long before the connection is given up");
assert(PENDING_BYTES_TOTAL_MAX >= 2 * PENDING_BYTES_MAX, "one connection alone is given up first");
assert((CLOSED_STREAMS_REMEMBERED & (CLOSED_STREAMS_REMEMBERED - 1)) === 0, "a power of two");
