import type { TraceArgument, TraceCase } from "../trace-case.ts";
import { TraceError } from "../vocabulary.ts";

/** The ids among the arguments: those without values. */
export function idsOf({ args }: TraceCase): bigint[] {
  return args.filter(({ values }) => values.length === 0).map(({ key }) => idOf(key));
}

/** The first argument, a member's id. */
export function firstId(testCase: TraceCase): bigint {
  const first = testCase.args[0];
  if (first === undefined) throw new TraceError(`${testCase.command} needs a member's id`);
  return idOf(first.key);
}

/** The arguments that have values, as pairs of name and value: one pair a value. */
export function pairsOf({ args }: TraceCase): [key: string, value: string][] {
  return args.flatMap(({ key, values }) => values.map((value): [string, string] => [key, value]));
}

/** The key of argument `at`. */
export function keyAt(testCase: TraceCase, at: number): string {
  const argument: TraceArgument | undefined = testCase.args[at];
  if (argument === undefined) throw new TraceError(`${testCase.command} needs ${at + 1} arguments`);
  return argument.key;
}

/** The one value of argument `key`. */
export function valueOf(testCase: TraceCase, key: string): string {
  const value = testCase.args.find((argument) => argument.key === key)?.values[0];
  if (value === undefined) throw new TraceError(`${testCase.command} needs ${key}=`);
  return value;
}

export function idOf(text: string): bigint {
  if (!/^\d+$/.test(text)) throw new TraceError(`no id: ${text}`);
  return BigInt(text);
}

export function countOf(text: string): number {
  if (!/^\d+$/.test(text)) throw new TraceError(`no number: ${text}`);
  return Number(text);
}

export function flagOf(text: string): boolean {
  if (!/^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/.test(text))
    throw new TraceError(`no flag: ${text}`);
  return /^[1tT]/.test(text);
}
