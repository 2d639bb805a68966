/**
 * etcd: the server's program. Reads flags, environment and configuration file, opens the log, and hands over to
 * `workers/supervisor.ts`, which runs the member; stops it on SIGTERM and SIGINT.
 *
 * Read next: `options.ts`, then `src/config/config.ts`.
 */
import { flushCompileCache } from "node:module";

import type { Config } from "../../config/config.ts";
import type { Log } from "../../telemetry/log.ts";
import { readOptions } from "./options.ts";

/** Names that etcd's log has for the signals. */
const SIGNALS = { SIGTERM: "terminated", SIGINT: "interrupt" } as const;

/** Runs the program with `words` (default: those of this process). Resolves with the exit code, once the member has stopped. */
export async function main(words: readonly string[] = process.argv.slice(2)): Promise<number> {
  const options = await readOptions(words);
  if (options.kind === "exit") return options.code;
  return runMember(options.config, options.log);
}

async function runMember(config: Config, log: Log): Promise<number> {
  const stopSignal = waitForSignal();
  const { startMember } = await import("../../../workers/supervisor.ts");
  let member: Awaited<ReturnType<typeof startMember>>;
  try {
    member = await startMember(config, log);
  } catch (error) {
    // etcd's words for any reason why a member cannot start.
    log.fatal("discovery failed", { error });
    return 1;
  }
  // A member is more often killed than stopped, and then nobody would write the cache.
  flushCompileCache();
  try {
    const signal = await Promise.race([stopSignal, member.failed]);
    log.info("received signal; shutting down", { signal });
    await member.stop();
    return 0;
  } catch (error) {
    log.fatal("the member has failed", { error });
    return 1;
  }
}

/** Resolves with the name of the first signal to stop. A second one ends the process at once. */
function waitForSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const [signal, name] of Object.entries(SIGNALS)) process.once(signal, () => resolve(name));
  });
}

if (import.meta.main) process.exitCode = await main();
