/**
 * etcd: the server's program. Reads flags, environment and configuration file, opens the log, and hands over to
 * `workers/supervisor.ts`, which runs the member; stops it on SIGTERM and SIGINT, and turns its debug log on and off on SIGUSR2.
 *
 * Read next: `options.ts`, then `src/config/config.ts`.
 */
import { flushCompileCache } from "node:module";

import type { Config } from "../../config/config.ts";
import type { Member } from "../../../workers/supervisor.ts";
import type { Log } from "../../telemetry/log.ts";
import { logLevelOf, readOptions } from "./options.ts";

/** Names that etcd's log has for the signals. */
const SIGNALS = { SIGTERM: "terminated", SIGINT: "interrupt" } as const;
/** A member that failed and has not ended by then (a disk that does not answer) is killed: what watches it starts another. */
const END_MS_MAX = 10_000;

/** Runs the program with `words` (default: those of this process). Resolves with the exit code, once the member has stopped. */
export async function main(words: readonly string[] = process.argv.slice(2)): Promise<number> {
  const options = await readOptions(words);
  if (options.kind === "exit") return options.code;
  return runMember(options.config, options.log);
}

async function runMember(config: Config, log: Log): Promise<number> {
  const stopping = new AbortController();
  const stopSignal = waitForSignal().then((signal) => {
    log.info("received signal; shutting down", { signal });
    stopping.abort(new Error(`received signal ${signal}`));
  });
  process.on("SIGUSR2", () => toggleDebug(log, config));
  const mainFailed = waitForUncaughtError();
  const isInOrder = (error: unknown): boolean =>
    (stopping.signal.aborted && error === stopping.signal.reason) ||
    (error instanceof Error && error.name === "MemberRemovedError");
  let told: unknown = null;
  const failing = (error: unknown): void => {
    if (isInOrder(error) || error === told) return;
    told = error;
    // etcd's words for any reason why a member cannot start.
    log.fatal("discovery failed", { error });
  };
  let member: Member;
  try {
    // The threads load their code while this one loads the rest of its own.
    const { startThreads } = await import("../../../workers/threads.ts");
    const threads = startThreads(config, log.threshold);
    const { startMember } = await import("../../../workers/supervisor.ts");
    member = await startMember(config, log, { mainFailed, stop: stopping.signal, threads, failing });
  } catch (error) {
    failing(error);
    return isInOrder(error) ? 0 : endForSure();
  }
  // A member is more often killed than stopped, and then nobody would write the cache.
  flushCompileCache();
  try {
    await Promise.race([stopSignal, member.removed, member.failed]);
    await member.stop();
    return 0;
  } catch (error) {
    log.fatal("the member has failed", { error });
    return endForSure();
  }
}

/** All threads log at debug level, and after the next signal as the configuration says. */
function toggleDebug(log: Log, config: Config): void {
  const { threshold } = log;
  const from = threshold.level;
  threshold.level = from === "debug" ? logLevelOf(config) : "debug";
  log.warn("the log level was changed", { from, to: threshold.level, signal: "SIGUSR2" });
}

/** The exit code of a failure. */
function endForSure(): number {
  setTimeout(() => process.kill(process.pid, "SIGKILL"), END_MS_MAX).unref();
  return 1;
}

/** Resolves with the name of the first signal to stop. A second one ends the process at once. */
function waitForSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const [signal, name] of Object.entries(SIGNALS)) process.once(signal, () => resolve(name));
  });
}

/** Rejects with what nobody on the main thread has caught. Node would end the process, and wait for ever for the database's thread. */
function waitForUncaughtError(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  process.on("uncaughtException", (error) => {
    reject(
      new Error(`thread main: ${error instanceof Error ? error.stack : String(error)}`, { cause: error }),
    );
  });
  promise.catch(() => undefined);
  return promise;
}

if (import.meta.main) process.exitCode = await main();
