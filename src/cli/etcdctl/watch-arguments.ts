/** What the words of `watch` ask for: on the command line, in the environment, or in a line of `watch --interactive`. */
import type { WatchOptions } from "../../client/watch-stream.ts";
import { CliError, ExitCode } from "../common/cli-error.ts";
import type { FlagSpec, Flags } from "../common/flags.ts";
import { goQuote } from "../common/go-quote.ts";
import { keyRange } from "./key-range.ts";

export const WATCH_FLAGS: readonly FlagSpec[] = [
  { name: "interactive", short: "i", type: "bool", default: false, help: "read watches from standard input" },
  { name: "prefix", type: "bool", default: false, help: "watch all keys that begin so" },
  { name: "rev", type: "int64", default: 0n, help: "first revision (default: the next one)" },
  { name: "prev-kv", type: "bool", default: false, help: "print keys as they were before, too" },
  {
    name: "progress-notify",
    type: "bool",
    default: false,
    help: "let the server say now and then how far the watch is",
  },
];

/** The key of `ETCDCTL_WATCH_KEY`, and the end of `ETCDCTL_WATCH_RANGE_END`. */
export interface WatchEnvironment {
  /** Empty: the words must name it. */
  readonly key: string;
  readonly rangeEnd: string;
}

/** Throws CliError for an end without a key. */
export function readWatchEnvironment(environment: NodeJS.ProcessEnv): WatchEnvironment {
  const key = environment.ETCDCTL_WATCH_KEY ?? "";
  const rangeEnd = environment.ETCDCTL_WATCH_RANGE_END ?? "";
  if (key === "" && rangeEnd !== "") {
    const problem = `ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=${goQuote(rangeEnd)}`;
    throw new CliError(ExitCode.badArgs, problem);
  }
  return { key, rangeEnd };
}

/** The words of a watch, without its flags. */
export interface WatchWords {
  readonly args: readonly string[];
  /** As in CommandContext. */
  readonly dashAt: number | undefined;
}

/** Splits the words into key with range end, and the command to run with each event (empty: none). Throws CliError. */
export function splitWatchWords(
  { args, dashAt }: WatchWords,
  environment: WatchEnvironment,
): { keys: readonly string[]; command: readonly string[] } {
  const keys = args.slice(0, dashAt);
  const command = dashAt === undefined ? [] : args.slice(dashAt);
  if (dashAt !== undefined && command.length === 0) {
    throw badArguments(" (found separator --, but no commands)");
  }
  if (environment.key === "") {
    if (keys.length === 0) throw badArguments("");
    return { keys, command };
  }
  if (keys.length > 0) throw badArguments(" (found conflicting environment key)");
  const { key, rangeEnd } = environment;
  return { keys: rangeEnd === "" ? [key] : [key, rangeEnd], command };
}

function badArguments(what: string): CliError {
  return new CliError(ExitCode.badArgs, `bad number of arguments${what}`);
}

/** The watch of the flags and of {@link splitWatchWords}'s keys. Throws CliError. */
export function watchOptions(keys: readonly string[], flags: Flags): WatchOptions {
  const prefix = flags.bool("prefix");
  // More than two are not looked at.
  const rangeEnd = keys.length === 2 ? keys[1] : undefined;
  if (prefix && rangeEnd !== undefined) {
    throw new CliError(ExitCode.badArgs, "`range_end` and `--prefix` are mutually exclusive");
  }
  return {
    ...keyRange(keys[0], { prefix, fromKey: false, rangeEnd }),
    startRevision: flags.int64("rev"),
    prevKv: flags.bool("prev-kv"),
    progressNotify: flags.bool("progress-notify"),
  };
}
