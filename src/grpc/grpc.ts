/**
 * gRPC over HTTP/2, server side: sockets to method calls and back.
 *
 * Owns: client sockets, message framing, deadlines, statuses and trailers, dispatch by the service table, and the second
 * transport on grpc-js. Never does: decode a message, or hold a request's bytes beyond the handler's return.
 * Order: the messages of one call are delivered as they came and leave as they were sent; calls do not wait for each other.
 * It stops by `drain`.
 *
 * Read next: `service.ts` (what a service sees), `native-transport.ts` (listening), `native-connection.ts` (a socket),
 * `native-call.ts` (a call), `request-plan.ts` (from headers to a method), `grpc-js-transport.ts` (the slow twin).
 */

/** Response content type; requests may add `+proto` or parameters. */
export const GRPC_CONTENT_TYPE = "application/grpc";
/** Every message: one byte of flags, four of length, big-endian. */
export const MESSAGE_PREFIX_BYTES = 5;
/** Prefix flag: the message is compressed with the call's `grpc-encoding`. */
export const MESSAGE_COMPRESSED = 1;

/** What grpc-go tells a client whose message is too long. */
export function messageTooLarge(bytes: number, bytesMax: number): string {
  return `grpc: received message larger than max (${bytes} vs. ${bytesMax})`;
}

/** The same for a message that grew too long in decompression, where the whole length is not known. */
export function inflatedTooLarge(bytesMax: number): string {
  return `grpc: received message after decompression larger than max ${bytesMax}`;
}

/** A string as Go's `%q` prints it, for the plain text that occurs here. */
export function quote(text: string): string {
  return JSON.stringify(text);
}
