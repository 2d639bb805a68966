/** Which protocol a new client speaks, from its first bytes: HTTP/2 with prior knowledge, or anything else (HTTP/1.1). */
import { CLIENT_PREFACE } from "../http2/http2.ts";

/** {@link sniff}'s answers. */
export const SNIFF_MORE = 0;
export const SNIFF_HTTP2 = 1;
export const SNIFF_OTHER = 2;

/** Looks at everything received so far. */
export function sniff(bytes: Uint8Array): number {
  const length = Math.min(bytes.length, CLIENT_PREFACE.length);
  for (let i = 0; i < length; i++) if (bytes[i] !== CLIENT_PREFACE[i]) return SNIFF_OTHER;
  return length === CLIENT_PREFACE.length ? SNIFF_HTTP2 : SNIFF_MORE;
}
