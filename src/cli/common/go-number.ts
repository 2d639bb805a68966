/** Numbers as Go's strconv reads them, with its error texts. */
import { goQuote } from "./go-quote.ts";

/** A number or bool that cannot be read. `message` is strconv's own text. */
export class SyntaxProblem extends Error {}

const INT64_MAX = (1n << 63n) - 1n;
const UINT64_MAX = (1n << 64n) - 1n;
const PREFIXES: Readonly<Record<string, number>> = { "0x": 16, "0o": 8, "0b": 2 };

/** `strconv.ParseInt(text, base, 64)`: base 0 takes it from the prefix and allows `_` between digits. */
export function parseInt64(text: string, base: 0 | 10 | 16): bigint {
  const negative = text.startsWith("-");
  const digits = text.replace(/^[+-]/, "");
  const magnitude = parseMagnitude("ParseInt", text, digits, base);
  const limit = negative ? INT64_MAX + 1n : INT64_MAX;
  if (magnitude > limit)
    throw new SyntaxProblem(`strconv.ParseInt: parsing ${goQuote(text)}: value out of range`);
  return negative ? -magnitude : magnitude;
}

/** `strconv.ParseUint(text, base, 64)`. */
export function parseUint64(text: string, base: 0 | 10 | 16): bigint {
  const value = parseMagnitude("ParseUint", text, text, base);
  if (value > UINT64_MAX)
    throw new SyntaxProblem(`strconv.ParseUint: parsing ${goQuote(text)}: value out of range`);
  return value;
}

function parseMagnitude(func: string, text: string, digits: string, base: 0 | 10 | 16): bigint {
  const invalid = () => new SyntaxProblem(`strconv.${func}: parsing ${goQuote(text)}: invalid syntax`);
  let radix: number = base;
  let body = digits;
  if (base === 0) {
    const prefix = PREFIXES[digits.slice(0, 2).toLowerCase()];
    radix = prefix ?? (/^0./.test(digits) ? 8 : 10);
    body = prefix === undefined ? digits : digits.slice(2);
    if (/__|_$/.test(body) || (prefix === undefined && body.startsWith("_"))) throw invalid();
    body = body.replaceAll("_", "");
  }
  const valid =
    radix === 16 ? /^[0-9a-f]+$/i : radix === 8 ? /^[0-7]+$/ : radix === 2 ? /^[01]+$/ : /^[0-9]+$/;
  if (!valid.test(body)) throw invalid();
  if (radix === 10) return BigInt(body);
  return BigInt(`${radix === 16 ? "0x" : radix === 8 ? "0o" : "0b"}${body}`);
}

/** `strconv.ParseBool`. */
export function parseGoBool(text: string): boolean {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw new SyntaxProblem(`strconv.ParseBool: parsing ${goQuote(text)}: invalid syntax`);
}
