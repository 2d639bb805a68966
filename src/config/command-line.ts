/**
 * The command line by the rules of Go's flag package: `--flag=value`, `--flag value`, `-flag`, booleans without a value, the last of
 * several wins, `--` or the first word that is no flag ends the flags.
 */
import { ConfigError } from "./config-error.ts";
import type { FlagRow, FlagValue } from "./flag-row.ts";
import { FLAG_BY_NAME, IGNORED_FLAGS } from "./flag-table.ts";
import { parseFlagValue } from "./flag-values.ts";
import { quoteGo } from "./go-values.ts";

/** What a command line says. */
export interface CommandLine {
  /** Values by flag name, of the flags that were given. */
  readonly values: ReadonlyMap<string, FlagValue>;
  /** Flags of etcd's past that were given. */
  readonly ignored: readonly string[];
  /** `-h` or `--help` was given. */
  readonly help: boolean;
  /** The first word that is no flag. */
  readonly stray?: string;
}

interface Words {
  readonly list: readonly string[];
  at: number;
}

/**
 * Reads the words after the program's name.
 * @throws ConfigError with the message of Go's flag package; etcd then prints its usage and ends with code 2
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const values = new Map<string, FlagValue>();
  const ignored: string[] = [];
  const words: Words = { list: argv, at: 0 };
  for (; words.at < argv.length; words.at++) {
    const word = argv[words.at];
    if (word === "--") return { values, ignored, help: false, ...strayAt(argv, words.at + 1) };
    if (word.length < 2 || !word.startsWith("-")) {
      return { values, ignored, help: false, ...strayAt(argv, words.at) };
    }
    const { name, value } = splitWord(word);
    const row = FLAG_BY_NAME.get(name);
    if (row !== undefined) values.set(name, readFlag(row, value, words));
    else if (IGNORED_FLAGS.has(name)) ignored.push(name);
    else if (name === "help" || name === "h") return { values, ignored, help: true };
    else throw new ConfigError(`flag provided but not defined: -${name}`);
  }
  return { values, ignored, help: false };
}

function strayAt(argv: readonly string[], at: number): { stray?: string } {
  const stray = argv[at];
  return stray === undefined ? {} : { stray };
}

function splitWord(word: string): { name: string; value: string | undefined } {
  const body = word.startsWith("--") ? word.slice(2) : word.slice(1);
  if (body === "" || body.startsWith("-") || body.startsWith("=")) {
    throw new ConfigError(`bad flag syntax: ${word}`);
  }
  const equals = body.indexOf("=");
  return equals === -1
    ? { name: body, value: undefined }
    : { name: body.slice(0, equals), value: body.slice(equals + 1) };
}

function readFlag(row: FlagRow, value: string | undefined, words: Words): FlagValue {
  if (row.type === "bool") {
    return read(row, value ?? "true", `invalid boolean value ${quoteGo(value ?? "")} for -${row.name}`);
  }
  const text = value ?? words.list[++words.at];
  if (text === undefined) throw new ConfigError(`flag needs an argument: -${row.name}`);
  return read(row, text, `invalid value ${quoteGo(text)} for flag -${row.name}`);
}

function read(row: FlagRow, text: string, complaint: string): FlagValue {
  try {
    return parseFlagValue(row, text);
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(`${complaint}: ${error.message}`) : error;
  }
}
