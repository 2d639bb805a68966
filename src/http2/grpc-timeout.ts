/** The value of `grpc-timeout`: at most 8 digits and a unit. Here because it is the one field that is new in every request. */
import { latin1 } from "./bytes.ts";
import { HeaderField } from "./header-field.ts";

const DIGITS_MAX = 8;

/** The field whose value stands in `bytes[start, end)`; its `timeoutMs` is -1 if that is malformed. */
export function parseTimeout(bytes: Uint8Array, start: number, end: number): HeaderField {
  const digits = end - start - 1;
  const unit = digits >= 1 && digits <= DIGITS_MAX ? unitMs(bytes[end - 1]) : -1;
  let number = 0;
  for (let at = start; at < end - 1; at++) {
    const digit = bytes[at] - 48;
    if (digit < 0 || digit > 9 || unit < 0) return HeaderField.of("grpc-timeout", latin1(bytes, start, end));
    number = number * 10 + digit;
  }
  if (unit < 0) return HeaderField.of("grpc-timeout", latin1(bytes, start, end));
  return HeaderField.ofTimeout(number * unit, number, digits, bytes[end - 1]);
}

function unitMs(character: number): number {
  switch (character) {
    case 0x48: // H
      return 3_600_000;
    case 0x4d: // M
      return 60_000;
    case 0x53: // S
      return 1_000;
    case 0x6d: // m
      return 1;
    case 0x75: // u
      return 1e-3;
    case 0x6e: // n
      return 1e-6;
    default:
      return -1;
  }
}
