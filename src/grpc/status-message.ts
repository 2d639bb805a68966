/** The `grpc-message` trailer: UTF-8, percent-encoded outside printable ASCII (and `%` itself). */

/** Longest message sent, in characters before encoding: trailers must fit what clients accept as a header list. */
const STATUS_MESSAGE_CHARACTERS_MAX = 4_096;

const PLAIN = /^[ -$&-~]*$/;
const encoder = new TextEncoder();

/** Encodes a status message for the wire; cut off after STATUS_MESSAGE_CHARACTERS_MAX characters. */
export function encodeStatusMessage(message: string): string {
  const cut =
    message.length > STATUS_MESSAGE_CHARACTERS_MAX
      ? message.slice(0, STATUS_MESSAGE_CHARACTERS_MAX)
      : message;
  if (PLAIN.test(cut)) return cut.trim() === cut ? cut : encodeEnds(cut);
  let encoded = "";
  for (const byte of encoder.encode(cut)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : hex(byte);
  }
  return encoded.trim() === encoded ? encoded : encodeEnds(encoded);
}

/** HTTP/2 allows no space at either end of a value. */
function encodeEnds(text: string): string {
  return text.replace(/^ +| +$/g, (spaces) => hex(0x20).repeat(spaces.length));
}

function hex(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}
