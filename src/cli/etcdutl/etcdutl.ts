/**
 * etcdutl: works on the files of a member that is not running, compatible with etcd's own in flags, output and exit codes.
 * A command is a file in commands/, listed in command-table.ts and loaded only if it runs; what all tools share is in ../common.
 * Read next: command-table.ts, restore.ts, snapshot-status.ts.
 */
import { rawArgs } from "../common/raw-args.ts";
import { runTool } from "../common/run-tool.ts";
import { ETCDUTL } from "./command-table.ts";

/** Runs the command that `words` name (default: those of this process). Resolves with the exit code. */
export function main(words: readonly string[] = rawArgs()): Promise<number> {
  return runTool(ETCDUTL, words);
}

if (import.meta.main) process.exit(await main());
