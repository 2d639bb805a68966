/**
 * Texts as Go reads and prints them: numbers and durations of Go's `strconv`, `flag` and `time` packages. etcd's users write
 * `1h30m` and `0x10`, and its error messages quote values in Go's way.
 */

/** Why a number could not be read. Go's flag package tells these two apart. */
export type NumberProblem = "parse error" | "value out of range";

const INTEGER_PATTERN = /^[+-]?(0[xX](_?[0-9a-fA-F])+|0[bB](_?[01])+|0[oO]?(_?[0-7])+|0|[1-9](_?[0-9])*)$/;

/** Reads an integer with Go's base prefixes and digit separators, and checks its range exactly. */
export function parseGoInteger(
  text: string,
  { min, max }: { min: bigint; max: bigint },
): number | NumberProblem {
  if (!INTEGER_PATTERN.test(text) || (min === 0n && /^[+-]/.test(text))) return "parse error";
  const negative = text.startsWith("-");
  const digits = text.replace(/^[+-]/, "").replaceAll("_", "");
  // JavaScript refuses a leading zero where Go reads octal.
  const magnitude = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits.toLowerCase());
  const value = negative ? -magnitude : magnitude;
  return value < min || value > max ? "value out of range" : Number(value);
}

/** Reads a boolean as Go does; undefined for any other text. */
export function parseGoBool(text: string): boolean | undefined {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  return undefined;
}

const NANOSECONDS_BY_UNIT: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  "\u00b5s": 1e3,
  "\u03bcs": 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go keeps a duration as int64 nanoseconds; longer ones (292 years) do not parse. */
const DURATION_NANOSECONDS_MAX = 2 ** 63;

/** Reads a Go duration such as `1h30m` or `1.5s`; returns milliseconds, or undefined if it is none. */
export function parseGoDuration(text: string): number | undefined {
  const match = /^([+-]?)(.+)$/.exec(text);
  if (match === null) return undefined;
  const body = match[2];
  if (body === "0") return 0;
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/.test(body)) return undefined;
  let nanoseconds = 0;
  for (const [, amount, unit] of body.matchAll(/([\d.]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g)) {
    nanoseconds += Number(amount) * NANOSECONDS_BY_UNIT[unit];
  }
  if (nanoseconds >= DURATION_NANOSECONDS_MAX) return undefined;
  return (match[1] === "-" ? -1 : 1) * (Math.trunc(nanoseconds) / 1e6);
}

/** Prints milliseconds as Go prints a duration: `1h0m0s`, `1.5s`, `100ms`, `2.5µs`, `0s`. */
export function formatGoDuration(ms: number): string {
  const sign = ms < 0 ? "-" : "";
  const nanoseconds = Math.round(Math.abs(ms) * 1e6);
  if (nanoseconds === 0) return "0s";
  if (nanoseconds < 1e3) return `${sign}${nanoseconds}ns`;
  if (nanoseconds < 1e6) return `${sign}${nanoseconds / 1e3}\u00b5s`;
  if (nanoseconds < 1e9) return `${sign}${nanoseconds / 1e6}ms`;
  const hours = Math.floor(nanoseconds / 3600e9);
  const minutes = Math.floor((nanoseconds % 3600e9) / 60e9);
  const seconds = (nanoseconds % 60e9) / 1e9;
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${sign}${minutes}m${seconds}s` : `${sign}${seconds}s`;
}

const GO_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};

/** Quotes a text as Go's `%q` does. */
export function quoteGo(text: string): string {
  // oxlint-disable-next-line no-control-regex -- the control characters are what has to be escaped
  const escaped = text.replace(/["\\\x00-\x1f\x7f]/g, (char) => {
    return GO_ESCAPES[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `"${escaped}"`;
}
