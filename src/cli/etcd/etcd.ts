/**
 * etcd: the server's program. Reads flags, environment and configuration file, opens the log, and hands over to
 * `workers/supervisor.ts`, which runs the member until it stops.
 *
 * Read next: `options.ts`, then `src/config/config.ts`.
 */
import { readOptions } from "./options.ts";

/** Runs the program with `words` (default: those of this process). Resolves with the exit code. */
export async function main(words: readonly string[] = process.argv.slice(2)): Promise<number> {
  const options = await readOptions(words);
  if (options.kind === "exit") return options.code;
  const { runMember } = await import("../../../workers/supervisor.ts");
  return runMember(options.config, options.log);
}

if (import.meta.main) process.exitCode = await main();
