/**
 * HTTP/2, server side (RFC 9113) with HPACK (RFC 7541): bytes in, events and frames out.
 *
 * Owns: frame syntax, header compression, stream states, flow control both ways, and every limit that keeps a hostile
 * client cheap. Never does: sockets, timers, clocks (time is an argument), or anything that knows gRPC.
 * Order: frames of one connection are handled strictly as they came; what a stream writes leaves in the order written.
 * It stops by GOAWAY: on a connection error at once, on drain after the streams in progress.
 *
 * Read next: `connection.ts` (the state machine), `frame-reader.ts` (chunks to frames), `sender.ts` (send windows),
 * `output-queue.ts` (what waits for the socket), `hpack-decoder.ts`, `header-block.ts`, `limits.ts`.
 *
 * ```
 * chunk -> FrameReader -> Connection --(HeaderBlock, borrowed DATA)--> Http2Stream (extended by src/grpc)
 *                            |  ^                                           |
 *                            v  | windows                                   v
 *                       OutputQueue <------------- Sender <------- bytes, trailers
 * ```
 */

/** Frame types (RFC 9113 section 6). */
export const FRAME_DATA = 0;
export const FRAME_HEADERS = 1;
export const FRAME_PRIORITY = 2;
export const FRAME_RST_STREAM = 3;
export const FRAME_SETTINGS = 4;
export const FRAME_PUSH_PROMISE = 5;
export const FRAME_PING = 6;
export const FRAME_GOAWAY = 7;
export const FRAME_WINDOW_UPDATE = 8;
export const FRAME_CONTINUATION = 9;

/** Frame flags. */
export const FLAG_END_STREAM = 0x1;
export const FLAG_ACK = 0x1;
export const FLAG_END_HEADERS = 0x4;
export const FLAG_PADDED = 0x8;
export const FLAG_PRIORITY = 0x20;

/** Error codes (RFC 9113 section 7). */
export const NO_ERROR = 0x0;
export const PROTOCOL_ERROR = 0x1;
export const INTERNAL_ERROR = 0x2;
export const FLOW_CONTROL_ERROR = 0x3;
export const SETTINGS_TIMEOUT = 0x4;
export const STREAM_CLOSED = 0x5;
export const FRAME_SIZE_ERROR = 0x6;
export const REFUSED_STREAM = 0x7;
export const CANCEL = 0x8;
export const COMPRESSION_ERROR = 0x9;
export const ENHANCE_YOUR_CALM = 0xb;

/** Setting identifiers (RFC 9113 section 6.5.2). */
export const SETTING_HEADER_TABLE_SIZE = 1;
export const SETTING_ENABLE_PUSH = 2;
export const SETTING_MAX_CONCURRENT_STREAMS = 3;
export const SETTING_INITIAL_WINDOW_SIZE = 4;
export const SETTING_MAX_FRAME_SIZE = 5;
export const SETTING_MAX_HEADER_LIST_SIZE = 6;

/** Length of every frame's header. */
export const FRAME_HEADER_BYTES = 9;
/** Largest flow-control window and stream id. */
export const INT31_MAX = 0x7fff_ffff;
/** Window of a stream and of the connection before any SETTINGS or WINDOW_UPDATE. */
export const DEFAULT_WINDOW_BYTES = 65_535;

const PREFACE_TEXT = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** What a client sends first (RFC 9113 section 3.4). */
export const CLIENT_PREFACE: Uint8Array = Uint8Array.from(PREFACE_TEXT, (character) =>
  character.charCodeAt(0),
);
