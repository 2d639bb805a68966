/** `etcdctl watch` */
import type { Client } from "../../../client/client.ts";
import { EtcdError } from "../../../client/etcd-error.ts";
import { WatchCanceledError, type Watcher } from "../../../client/watcher.ts";
import type { Event } from "../../../proto/gen/kv_pb.ts";
import type { WatchResponse } from "../../../proto/gen/rpc_pb.ts";
import { runChild } from "../../common/child.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { FlagProblem, parseFlags } from "../../common/flags.ts";
import { goQuote } from "../../common/go-quote.ts";
import { decodeOsString } from "../../common/os-string.ts";
import { flush, printErrorLine, printLine, readLines } from "../../common/terminal.ts";
import { openSession, withClient } from "../session.ts";
import { splitWords } from "../split-words.ts";
import { type Output, show } from "../view.ts";
import {
  readWatchEnvironment,
  splitWatchWords,
  WATCH_FLAGS,
  type WatchEnvironment,
  watchOptions,
} from "../watch-arguments.ts";
import { typeName, watchView } from "../watch-view.ts";

export const command: Command = {
  usage: "watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
  description: `
Prints what happens to a key, a range, or with --prefix all keys that begin so. The key can also come from ETCDCTL_WATCH_KEY and
ETCDCTL_WATCH_RANGE_END.

With a command behind '--': runs it with each event, with ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and
ETCD_WATCH_VALUE in its environment, one after the other.

With --interactive: reads lines from standard input, each 'watch [options] <key> [range_end] [-- command]' or 'progress'.
`,
  flags: WATCH_FLAGS,
  async run(context) {
    const environment = readWatchEnvironment(process.env);
    if (context.flags.bool("interactive")) {
      const { client, output } = await openSession(context);
      return withClient(client, (each) => watchInteractively(each, output, environment));
    }
    const { keys, command: words } = splitWatchWords(context, environment);
    const { client, output } = await openSession(context);
    const options = watchOptions(keys, context.flags);
    await withClient(client, (each) => printWatch(each.watch(options, REQUIRE_LEADER), { output, words }));
    throw new CliError(ExitCode.interrupted, "watch is canceled by the server");
  },
};

/** A member that has lost its cluster would otherwise wait in silence. */
const REQUIRE_LEADER = { requireLeader: true };

/** Prints a watch until it ends, and runs the command of `words`, if any, with each event. */
async function printWatch(
  watcher: Watcher,
  { output, words }: { readonly output: Output; readonly words: readonly string[] },
): Promise<void> {
  try {
    for await (const response of watcher) {
      printResponse(response, output);
      for (const event of response.events) await runWithEvent(words, event, response);
    }
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    printEnd(error, output);
  }
}

function printResponse(response: WatchResponse, output: Output): void {
  if (response.events.length === 0) printLine(`progress notify: ${response.header?.revision ?? 0n}`);
  show(output, watchView(response));
  flush();
}

function printEnd(error: EtcdError, output: Output): void {
  const isCanceled = error instanceof WatchCanceledError;
  const isCompacted = isCanceled && error.compactRevision !== 0n;
  // A watch that was refused later than at its creation ends without a word.
  if (isCanceled && !isCompacted && !error.response.created) return;
  printErrorLine(`watch was canceled (${error.message})`);
  show(output, watchView(isCompacted ? error.response : undefined));
  flush();
}

async function runWithEvent(words: readonly string[], event: Event, response: WatchResponse): Promise<void> {
  const [file, ...args] = words;
  if (file === undefined) return;
  const failure = await runChild([file, ...args], {
    ETCD_WATCH_REVISION: String(response.header?.revision ?? 0n),
    ETCD_WATCH_EVENT_TYPE: `"${typeName(event.type)}"`,
    ETCD_WATCH_KEY: goQuote(event.kv?.key ?? new Uint8Array(0)),
    ETCD_WATCH_VALUE: goQuote(event.kv?.value ?? new Uint8Array(0)),
  });
  if (failure === undefined) return;
  printErrorLine(`command [${words.map(goQuote).join(" ")}] error (${failure.message})`);
  throw new CliError(ExitCode.error, "");
}

async function watchInteractively(
  client: Client,
  output: Output,
  environment: WatchEnvironment,
): Promise<never> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const watchers: Watcher[] = [];
  const reading = readCommands(client, environment, (watcher, words) => {
    watchers.push(watcher);
    printWatch(watcher, { output, words }).catch(failed.reject);
  });
  try {
    await Promise.race([reading, failed.promise]);
  } finally {
    for (const watcher of watchers) watcher.cancel();
    // Nobody waits for its end any more.
    process.stdin.destroy();
  }
  throw new CliError(ExitCode.invalidInput, "error reading watch request line: EOF");
}

/** Starts a watch for each line. Resolves at the end of the input. */
async function readCommands(
  client: Client,
  environment: WatchEnvironment,
  start: (watcher: Watcher, words: readonly string[]) => void,
): Promise<void> {
  for await (const bytes of readLines()) {
    const line = decodeOsString(bytes);
    const [name, ...words] = splitWords(line);
    if (name === undefined) {
      printErrorLine(`Invalid command: ${line} (watch and progress supported)`);
    } else if (name === "progress") client.requestWatchProgress(REQUIRE_LEADER);
    else if (name !== "watch") printErrorLine(`Invalid command ${line} (only support watch)`);
    else if (words.length === 0 && environment.key === "") {
      printErrorLine(`Invalid command ${line} (command type or key is not provided)`);
    } else startWatch(client, { line, words, environment, start });
  }
}

function startWatch(
  client: Client,
  request: {
    readonly line: string;
    readonly words: readonly string[];
    readonly environment: WatchEnvironment;
    readonly start: (watcher: Watcher, words: readonly string[]) => void;
  },
): void {
  const { flags, ...words } = parseLine(request.words);
  const { keys, command: toRun } = splitWatchWords(words, request.environment);
  let options;
  try {
    options = watchOptions(keys, flags);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return printErrorLine(`Invalid command ${request.line} (${error.message})`);
  }
  request.start(client.watch(options, REQUIRE_LEADER), toRun);
}

function parseLine(words: readonly string[]) {
  try {
    return parseFlags(WATCH_FLAGS, words);
  } catch (error) {
    throw error instanceof FlagProblem ? new CliError(ExitCode.badArgs, error.message) : error;
  }
}
