/** The words of the command line as they were given: Node's own have lost every byte that is not UTF-8. */
import { readFileSync } from "node:fs";
import { decodeOsString } from "./os-string.ts";

/** Arguments behind the script's name, as os-string.ts writes bytes. Falls back to Node's where there is no /proc. */
export function rawArgs(): string[] {
  const decoded = process.argv.slice(2);
  if (!decoded.some((arg) => arg.includes("\ufffd"))) return decoded;
  try {
    const line = readFileSync("/proc/self/cmdline");
    const all = splitAtZeros(line).map(decodeOsString);
    return all.slice(all.length - decoded.length);
  } catch {
    return decoded;
  }
}

/** Parts that each end with a zero byte. */
function splitAtZeros(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(0, start);
    const stop = end === -1 ? bytes.length : end;
    parts.push(bytes.subarray(start, stop));
    start = stop + 1;
  }
  return parts;
}
