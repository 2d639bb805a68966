/** What `--prefix`, `--from-key` and a second argument make of a key: the range of a request. */
import { prefixEnd } from "../../client/key-prefix.ts";
import { encodeOsString } from "../common/os-string.ts";

/** The range end that stands for "no end", and, as a key, the smallest key there is. */
const ZERO_BYTE = Uint8Array.of(0);

/** Fields of a Range, DeleteRange or watch. */
export interface KeyRange {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
}

/** An empty key with a prefix or from-key means every key. */
export function keyRange(
  key: string,
  options: { prefix: boolean; fromKey: boolean; rangeEnd?: string | undefined },
): KeyRange {
  const bytes = encodeOsString(key);
  if (options.prefix || options.fromKey) {
    if (bytes.length === 0) return { key: ZERO_BYTE, rangeEnd: ZERO_BYTE };
    return { key: bytes, rangeEnd: options.fromKey ? ZERO_BYTE : prefixEnd(bytes) };
  }
  return { key: bytes, rangeEnd: encodeOsString(options.rangeEnd ?? "") };
}
