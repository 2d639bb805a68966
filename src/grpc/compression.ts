/** gzip of messages. Synchronous: a message is at most a few MiB, and order within a call is kept for free. */
import { gunzipSync, gzipSync } from "node:zlib";

/** Speed over size: clients that ask for gzip save network, not our time. */
const GZIP_LEVEL = 1;

/** Returns the message, or `"too large"` beyond `bytesMax`, or `"corrupt"`. */
export function inflate(
  bytes: Uint8Array,
  start: number,
  end: number,
  bytesMax: number,
): Uint8Array | "too large" | "corrupt" {
  try {
    return gunzipSync(bytes.subarray(start, end), { maxOutputLength: Math.max(1, bytesMax) });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE" ? "too large" : "corrupt";
  }
}

/** The message compressed. */
export function deflate(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return gzipSync(bytes.subarray(start, end), { level: GZIP_LEVEL });
}
