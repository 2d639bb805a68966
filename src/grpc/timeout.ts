/** The `grpc-timeout` header: at most 8 digits and a unit. */

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** Returns ms, or -1 if the text is malformed. */
export function parseTimeout(text: string): number {
  const digits = text.length - 1;
  const unitMs = UNIT_MS[text[digits]];
  if (unitMs === undefined || digits < 1 || digits > 8) return -1;
  let value = 0;
  for (let i = 0; i < digits; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value * unitMs;
}
