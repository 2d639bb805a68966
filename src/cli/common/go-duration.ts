/** Durations as Go writes and reads them: `1h2m3.5s`, `1.234567ms`. In nanoseconds. */
import { SyntaxProblem } from "./go-number.ts";
import { goQuote } from "./go-quote.ts";

const UNIT_NS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const DURATION_NS_MAX = (1n << 63n) - 1n;

/** As Go's `Duration.String`: the largest fitting unit below a second, hours, minutes and seconds from there on. */
export function formatGoDuration(ns: bigint): string {
  if (ns === 0n) return "0s";
  if (ns < 0n) return `-${formatGoDuration(-ns)}`;
  if (ns < 1_000n) return `${ns}ns`;
  if (ns < 1_000_000n) return `${decimal(ns, 3)}µs`;
  if (ns < 1_000_000_000n) return `${decimal(ns, 6)}ms`;
  const minutes = ns / UNIT_NS.m;
  const seconds = `${decimal(ns % UNIT_NS.m, 9)}s`;
  if (minutes === 0n) return seconds;
  if (minutes < 60n) return `${minutes}m${seconds}`;
  return `${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

/** `value / 10^digits`, without trailing zeros. */
function decimal(value: bigint, digits: number): string {
  const scale = 10n ** BigInt(digits);
  const fraction = (value % scale).toString().padStart(digits, "0").replace(/0+$/, "");
  return fraction === "" ? `${value / scale}` : `${value / scale}.${fraction}`;
}

/** As `time.ParseDuration`. Throws {@link SyntaxProblem} with its text. */
export function parseGoDuration(text: string): bigint {
  const invalid = () => new SyntaxProblem(`time: invalid duration ${goQuote(text)}`);
  const negative = text.startsWith("-");
  const body = text.replace(/^[+-]/, "");
  if (body === "0") return 0n;
  if (body === "") throw invalid();
  let total = 0n;
  for (let rest = body; rest !== "";) {
    const number = /^(\d*)(?:\.(\d*))?/.exec(rest)!;
    const whole = number[1];
    const fraction = number[2] ?? "";
    if (whole === "" && fraction === "") throw invalid();
    rest = rest.slice(number[0].length);
    const unit = /^[^\d.]*/.exec(rest)![0];
    if (unit === "") throw new SyntaxProblem(`time: missing unit in duration ${goQuote(text)}`);
    const unitNs = UNIT_NS[unit];
    if (unitNs === undefined) {
      throw new SyntaxProblem(`time: unknown unit ${goQuote(unit)} in duration ${goQuote(text)}`);
    }
    rest = rest.slice(unit.length);
    total +=
      BigInt(whole || "0") * unitNs + (BigInt(fraction || "0") * unitNs) / 10n ** BigInt(fraction.length);
  }
  if (total > DURATION_NS_MAX) throw invalid();
  return negative ? -total : total;
}
