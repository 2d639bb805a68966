/** The lines that `etcdctl txn` reads: conditions, and requests written as commands. */
import { create } from "@bufbuild/protobuf";
import {
  type Compare,
  Compare_CompareResult as Result,
  Compare_CompareTarget as Target,
  CompareSchema,
  type RequestOp,
  RequestOpSchema,
} from "../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../common/cli-error.ts";
import type { Command } from "../common/command.ts";
import { FlagProblem, parseFlags } from "../common/flags.ts";
import { parseInt64, SyntaxProblem } from "../common/go-number.ts";
import { goQuote, goUnquote } from "../common/go-quote.ts";
import { encodeOsString } from "../common/os-string.ts";
import { splitWords } from "./split-words.ts";

const QUOTED = String.raw`"(?:[^"\\]|\\.)*"|${"`[^`]*`"}`;
/** `key") = "value"`, each part only if the one before it is there. */
const COMPARISON = new RegExp(
  String.raw`^[ \t]*(${QUOTED})(?:\)(?:[ \t]+([^ \t]+)(?:[ \t]+(${QUOTED}))?)?)?`,
  "s",
);

const RESULTS: Readonly<Record<string, Result>> = {
  "=": Result.EQUAL,
  "!=": Result.NOT_EQUAL,
  ">": Result.GREATER,
  "<": Result.LESS,
};

/** Reads `target("key") op "value"`. Throws CliError. */
export function parseCompare(line: string): Compare {
  const malformed = (why: string) =>
    new CliError(ExitCode.invalidInput, `malformed comparison: ${line}${why}`);
  const invalid = () => new CliError(ExitCode.invalidInput, `invalid txn compare request: ${line}`);
  const open = line.indexOf("(");
  if (open === -1) throw malformed("");
  const target = line.slice(0, open);
  const [, quotedKey, op = "", quotedValue] = COMPARISON.exec(line.slice(open + 1)) ?? [];
  const key = quotedKey === undefined ? undefined : goUnquote(quotedKey);
  if (key === undefined) throw malformed(`; got ${target}("")  ""`);
  const value = quotedValue === undefined ? undefined : goUnquote(quotedValue);
  if (value === undefined) throw malformed(`; got ${target}(${goQuote(key)}) ${op} ""`);
  const side = compareSide(target, value, invalid);
  if (side === undefined) throw malformed(` (unknown target ${target})`);
  const result = RESULTS[op];
  if (result === undefined) throw invalid();
  return create(CompareSchema, { key: encodeOsString(key), result, ...side });
}

/** Target and value of a comparison; undefined for an unknown target. */
function compareSide(target: string, text: string, invalid: () => CliError) {
  const number = (): bigint => {
    try {
      return parseInt64(text, 10);
    } catch (error) {
      if (error instanceof SyntaxProblem) throw invalid();
      throw error;
    }
  };
  switch (target) {
    case "ver":
    case "version":
      return { target: Target.VERSION, targetUnion: { case: "version" as const, value: number() } };
    case "c":
    case "create":
      return { target: Target.CREATE, targetUnion: { case: "createRevision" as const, value: number() } };
    case "m":
    case "mod":
      return { target: Target.MOD, targetUnion: { case: "modRevision" as const, value: number() } };
    case "val":
    case "value":
      return { target: Target.VALUE, targetUnion: { case: "value" as const, value: encodeOsString(text) } };
    // etcd's own client panics here; a lease is given as a decimal number, like everything else that is compared.
    case "lease":
      return { target: Target.LEASE, targetUnion: { case: "lease" as const, value: number() } };
    default:
      return undefined;
  }
}

/** Reads a line like `put --prev-kv key "a value"`. Throws CliError. */
export async function parseOperation(line: string): Promise<RequestOp> {
  const [name, ...words] = splitWords(line);
  if (name === undefined || words.length === 0) {
    throw new CliError(ExitCode.invalidInput, `invalid txn compare request: ${line}`);
  }
  const invalid = () => new CliError(ExitCode.invalidInput, `invalid txn request: ${line}`);
  const read = (command: Command) => {
    try {
      return parseFlags(command.flags!, words);
    } catch (error) {
      throw error instanceof FlagProblem ? invalid() : error;
    }
  };
  if (name !== "" && "put".startsWith(name)) {
    const { command, putRequest } = await import("./commands/put.ts");
    const { args, flags } = read(command);
    return create(RequestOpSchema, { request: { case: "requestPut", value: putRequest(args, flags) } });
  }
  if (name !== "" && "get".startsWith(name)) {
    const { command, rangeRequest } = await import("./commands/get.ts");
    const { args, flags } = read(command);
    return create(RequestOpSchema, { request: { case: "requestRange", value: rangeRequest(args, flags) } });
  }
  if (name !== "" && "del".startsWith(name)) {
    const { command, deleteRequest } = await import("./commands/del.ts");
    const { args, flags } = read(command);
    return create(RequestOpSchema, {
      request: { case: "requestDeleteRange", value: await deleteRequest(args, flags) },
    });
  }
  throw invalid();
}
