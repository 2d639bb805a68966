/** How a flag's text becomes its value: one reader a flag type, with the complaints of Go's flag package and of etcd's. */
import { ConfigError } from "./config-error.ts";
import { parseFeatureGates } from "./feature-gates.ts";
import type { FlagRow, FlagValue } from "./flag-row.ts";
import { parseGoBool, parseGoDuration, parseGoInteger, quoteGo } from "./go-values.ts";
import { parseUrls } from "./urls.ts";

const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const UINT64 = { min: 0n, max: 2n ** 64n - 1n };
const UINT32 = { min: 0n, max: 2n ** 32n - 1n };

/**
 * Reads a flag's text.
 * @throws ConfigError with the part of the message that tells the reason, e.g. `parse error`
 */
export function parseFlagValue(row: FlagRow, text: string): FlagValue {
  switch (row.type) {
    case "string":
      return text;
    case "bool":
      return orThrow(parseGoBool(text));
    case "duration":
      return orThrow(parseGoDuration(text));
    case "int":
    case "int64":
      return readInteger(text, INT64);
    case "uint":
    case "uint64":
      return readInteger(text, UINT64);
    case "uint32":
      return readUint32(text);
    case "urls":
      return readUrls(row, text);
    case "origins":
      return readOrigins(text);
    case "strings":
      return text === "" ? [] : text.split(",");
    case "stringSet":
      return text === "" ? [] : [...new Set(text.split(","))].sort();
    case "choice":
      return readChoice(row, text);
    case "choices":
      return readChoices(row, text);
    case "gates":
      return parseFeatureGates(text);
  }
}

/** The value of a flag that nobody set. */
export function defaultFlagValue(row: FlagRow): FlagValue {
  return parseFlagValue(row, row.default);
}

function orThrow<T>(value: T | undefined): T {
  if (value === undefined) throw new ConfigError("parse error");
  return value;
}

function readInteger(text: string, range: { min: bigint; max: bigint }): number {
  const value = parseGoInteger(text, range);
  if (typeof value === "string") throw new ConfigError(value);
  return value;
}

/** etcd's own uint32 flag shows the error of strconv as it is. */
function readUint32(text: string): number {
  const value = parseGoInteger(text, UINT32);
  if (typeof value === "number") return value;
  const reason = value === "parse error" ? "invalid syntax" : value;
  throw new ConfigError(`strconv.ParseUint: parsing ${quoteGo(text)}: ${reason}`);
}

/** An empty text keeps the default, as in etcd. */
function readUrls(row: FlagRow, text: string): FlagValue {
  const list = text === "" ? row.default : text;
  return list === "" ? [] : parseUrls(list);
}

function readOrigins(text: string): string[] {
  if (text === "" || text === "*") return [text];
  return parseUrls(text).map((url) => url.text);
}

function readChoice(row: FlagRow, text: string): string {
  if (!row.choices?.includes(text)) throw new ConfigError("invalid value");
  return text;
}

function readChoices(row: FlagRow, text: string): string[] {
  if (text === "") return [];
  const values = text.split(",");
  const unknown = values.find((value) => !row.choices?.includes(value));
  if (unknown !== undefined) throw new ConfigError(`invalid value ${quoteGo(unknown)}`);
  return values.sort();
}
