/**
 * Command line flags in the manner of Go's pflag, which etcd's tools use: `--name=value`, `--name value`, `-n value`, `-nvalue`,
 * bools that take a value only with `=`, flags and arguments in any order, `--` before arguments that begin with a dash.
 * Node's own parseArgs cuts the line into pieces; what they mean, and the words for what is wrong, are pflag's.
 */
import { parseArgs } from "node:util";
import { CliError } from "./cli-error.ts";
import { formatGoDuration, parseGoDuration } from "./go-duration.ts";
import { parseGoBool, parseInt64, parseUint64, SyntaxProblem } from "./go-number.ts";
import { goQuote } from "./go-quote.ts";

/** A flag and its default. Durations are in nanoseconds. */
export type FlagSpec = {
  /** Without dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  readonly help: string;
} & (
  | { readonly type: "bool"; readonly default: boolean }
  | { readonly type: "string"; readonly default: string }
  | { readonly type: "int64" | "uint64" | "duration"; readonly default: bigint }
  | { readonly type: "strings"; readonly default: readonly string[] }
);

type FlagValue = FlagSpec["default"];

/** A flag given wrongly; the usage is printed after it. */
export class FlagProblem extends Error {}

/** Reads one value. Throws {@link SyntaxProblem}. */
function parseValue(type: FlagSpec["type"], text: string): FlagValue {
  if (type === "bool") return parseGoBool(text);
  if (type === "int64") return parseInt64(text, 0);
  if (type === "uint64") return parseUint64(text, 0);
  if (type === "duration") return parseGoDuration(text);
  if (type === "strings") return text === "" ? [] : text.split(",");
  return text;
}

/** A value as `--debug` and the usage print it. */
export function formatFlagValue(type: FlagSpec["type"], value: FlagValue): string {
  if (type === "duration") return formatGoDuration(value as bigint);
  if (type === "strings") return `[${(value as readonly string[]).join(",")}]`;
  return String(value);
}

/** The flags of one command with their values. */
export class Flags {
  readonly specs: readonly FlagSpec[];
  readonly #values = new Map<string, FlagValue>();
  /** Names of flags that were given, on the command line or by {@link set}. */
  readonly #changed = new Set<string>();

  constructor(specs: readonly FlagSpec[]) {
    this.specs = specs;
    for (const spec of specs) this.#values.set(spec.name, spec.default);
  }

  /** Takes a value from its text. Throws {@link SyntaxProblem}. */
  set(spec: FlagSpec, text: string): void {
    const value = parseValue(spec.type, text);
    // A list given twice is one list; its default does not count.
    const isMore = spec.type === "strings" && this.#changed.has(spec.name);
    const all = isMore ? [...this.strings(spec.name), ...(value as readonly string[])] : value;
    this.#values.set(spec.name, all);
    this.#changed.add(spec.name);
  }

  changed(name: string): boolean {
    return this.#changed.has(name);
  }

  bool(name: string): boolean {
    return this.#get(name, "bool") as boolean;
  }

  string(name: string): string {
    return this.#get(name, "string") as string;
  }

  strings(name: string): readonly string[] {
    return this.#get(name, "strings") as readonly string[];
  }

  int64(name: string): bigint {
    return this.#get(name, "int64") as bigint;
  }

  uint64(name: string): bigint {
    return this.#get(name, "uint64") as bigint;
  }

  /** In nanoseconds. */
  duration(name: string): bigint {
    return this.#get(name, "duration") as bigint;
  }

  /** As {@link formatFlagValue}. */
  format(spec: FlagSpec): string {
    return formatFlagValue(spec.type, this.#get(spec.name, spec.type));
  }

  #get(name: string, type: FlagSpec["type"]): FlagValue {
    const spec = this.specs.find((each) => each.name === name);
    if (spec?.type !== type) throw new Error(`no ${type} flag --${name}`);
    return this.#values.get(name)!;
  }
}

/**
 * Reads a command's flags; what is left are its arguments, those behind `--` from index `dashAt` on. Throws {@link FlagProblem}.
 */
export function parseFlags(
  specs: readonly FlagSpec[],
  args: readonly string[],
): { flags: Flags; args: string[]; dashAt: number | undefined } {
  const flags = new Flags(specs);
  const options = Object.fromEntries(
    specs.map((spec) => [
      spec.name,
      {
        type: spec.type === "bool" ? ("boolean" as const) : ("string" as const),
        ...(spec.short && { short: spec.short }),
      },
    ]),
  );
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true });
  const rest: string[] = [];
  let dashAt: number | undefined;
  for (const token of tokens) {
    if (token.kind === "positional") rest.push(token.value);
    else if (token.kind === "option") setFlag(flags, token, args[token.index]);
    else dashAt = rest.length;
  }
  return { flags, args: rest, dashAt };
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function setFlag(flags: Flags, token: OptionToken, arg: string): void {
  const isShort = !token.rawName.startsWith("--");
  // Of several letters in one argument: the one this is about, and those behind it.
  const letters = isShort ? arg.slice(Math.max(1, arg.indexOf(token.rawName.slice(1)))) : "";
  const spec = flags.specs.find((each) => (isShort ? each.short === letters[0] : each.name === token.name));
  if (spec === undefined) {
    if (isShort) throw new FlagProblem(`unknown shorthand flag: ${charQuote(letters[0])} in -${letters}`);
    throw new FlagProblem(`unknown flag: --${token.name}`);
  }
  let text = token.value;
  if (text === undefined && spec.type === "bool") text = "true";
  if (text === undefined) {
    const where = isShort ? `${charQuote(letters[0])} in -${letters}` : `--${spec.name}`;
    throw new FlagProblem(`flag needs an argument: ${where}`);
  }
  if (isShort && token.inlineValue) text = text.replace(/^=/, "");
  try {
    flags.set(spec, text);
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error;
    const name = spec.short === undefined ? `--${spec.name}` : `-${spec.short}, --${spec.name}`;
    throw new FlagProblem(`invalid argument ${goQuote(text)} for ${goQuote(name)} flag: ${error.message}`);
  }
}

function charQuote(char: string | undefined): string {
  return `'${char ?? ""}'`;
}

/** Reads a value that a command takes as an argument. Throws {@link CliError} with `describe`'s text around the cause. */
export function parseArgument<T>(parse: () => T, exitCode: number, describe: (cause: string) => string): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error;
    throw new CliError(exitCode, describe(error.message));
  }
}
