/** Go's quoted strings: what `%q` prints, and the reading of them. Text is as in os-string.ts, so any bytes survive. */
import { decodeOsString, encodeOsString } from "./os-string.ts";

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

/** What Go calls printable: letters, marks, numbers, punctuation, symbols, and the ASCII space. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/** Puts text or bytes in double quotes, with Go's escapes for whatever is not printable. */
export function goQuote(value: string | Uint8Array): string {
  let quoted = '"';
  for (const char of typeof value === "string" ? value : decodeOsString(value)) quoted += quoteChar(char);
  return `${quoted}"`;
}

function quoteChar(char: string): string {
  const short = SHORT_ESCAPES[char];
  if (short !== undefined) return short;
  const code = char.codePointAt(0)!;
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
  if (PRINTABLE.test(char)) return char;
  if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code > 0xffff) return `\\U${code.toString(16).padStart(8, "0")}`;
  return `\\u${code.toString(16).padStart(4, "0")}`;
}

const PLAIN_ESCAPES: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  "\\": 0x5c,
  '"': 0x22,
};

const ESCAPE = /\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\"]))/y;

/** Reads a string in double quotes or backquotes. Undefined if it is not one whole quoted string. */
export function goUnquote(quoted: string): string | undefined {
  const mark = quoted[0];
  if (quoted.length < 2 || quoted.at(-1) !== mark) return undefined;
  const body = quoted.slice(1, -1);
  if (mark === "`") return body.includes("`") ? undefined : body.replaceAll("\r", "");
  if (mark !== '"') return undefined;
  const parts: Uint8Array[] = [];
  for (let at = 0; at < body.length;) {
    const next = body.indexOf("\\", at);
    const plain = next === -1 ? body.slice(at) : body.slice(at, next);
    if (/["\n]/.test(plain)) return undefined;
    parts.push(encodeOsString(plain));
    if (next === -1) break;
    ESCAPE.lastIndex = next;
    const bytes = unescape(ESCAPE.exec(body));
    if (bytes === undefined) return undefined;
    parts.push(bytes);
    at = ESCAPE.lastIndex;
  }
  return decodeOsString(Buffer.concat(parts));
}

/** `\xNN` and `\NNN` are bytes, `\u` and `\U` are characters. */
function unescape(match: RegExpExecArray | null): Uint8Array | undefined {
  if (match === null) return undefined;
  const [, hex, octal, short, long, plain] = match;
  if (plain !== undefined) return Uint8Array.of(PLAIN_ESCAPES[plain]);
  if (hex !== undefined) return Uint8Array.of(Number.parseInt(hex, 16));
  if (octal !== undefined) {
    const value = Number.parseInt(octal, 8);
    return value > 0xff ? undefined : Uint8Array.of(value);
  }
  const code = Number.parseInt(short ?? long, 16);
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return undefined;
  return encodeOsString(String.fromCodePoint(code));
}
