/**
 * Text that may hold any bytes, as arguments and keys do. A byte that is not part of valid UTF-8 is kept as a lone
 * surrogate, U+DC80 to U+DCFF (Python's "surrogateescape"), which no valid UTF-8 decodes to, so that encoding gives
 * back exactly the bytes that were decoded.
 */

const ESCAPE_BASE = 0xdc00;
const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes to text, without loss. */
export function decodeOsString(bytes: Uint8Array): string {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    let text = "";
    for (let at = 0; at < bytes.length;) {
      const length = sequenceLength(bytes, at);
      if (length === 0) text += String.fromCharCode(ESCAPE_BASE + bytes[at]);
      else text += strictDecoder.decode(bytes.subarray(at, at + length));
      at += length || 1;
    }
    return text;
  }
}

/** Text to bytes: the inverse of {@link decodeOsString}, and plain UTF-8 for any other text. */
export function encodeOsString(text: string): Uint8Array {
  if (text.isWellFormed()) return encoder.encode(text);
  const parts: Uint8Array[] = [];
  for (const part of text.split(/([\udc80-\udcff])/u)) {
    const code = part.charCodeAt(0);
    const isEscape = part.length === 1 && code >= ESCAPE_BASE + 0x80 && code <= ESCAPE_BASE + 0xff;
    parts.push(isEscape ? Uint8Array.of(code - ESCAPE_BASE) : encoder.encode(part));
  }
  return Buffer.concat(parts);
}

/** Length in bytes of the valid UTF-8 sequence at `at`, 0 if there is none (RFC 3629). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at];
  if (first < 0x80) return 1;
  const length =
    first >= 0xc2 && first < 0xe0
      ? 2
      : first >= 0xe0 && first < 0xf0
        ? 3
        : first >= 0xf0 && first < 0xf5
          ? 4
          : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  // The second byte excludes overlong forms, surrogates and what lies beyond U+10FFFF.
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (bytes[at + 1] < low || bytes[at + 1] > high) return 0;
  for (let i = 2; i < length; i++) if (bytes[at + i] < 0x80 || bytes[at + i] > 0xbf) return 0;
  return length;
}
