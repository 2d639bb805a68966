/**
 * etcdutl: works on the files of a member that is not running, compatible with etcd's own in flags, output and exit codes.
 * A command is a file in commands/, loaded only if it runs; what all tools share is in ../common.
 */
import type { CommandEntry } from "../common/command.ts";
import { rawArgs } from "../common/raw-args.ts";
import { runTool } from "../common/run-tool.ts";

/** All commands. */
const ETCDUTL: CommandEntry = {
  name: "etcdutl",
  summary: "An administrative command line tool for etcd.",
  inheritedFlags: [
    {
      name: "write-out",
      short: "w",
      type: "string",
      default: "simple",
      help: "output format (fields, json, protobuf, simple, table)",
    },
  ],
  commands: [
    {
      name: "version",
      summary: "Prints the version of etcdutl",
      load: () => import("./commands/version.ts"),
    },
  ],
};

/** Runs the command that `words` name (default: those of this process). Resolves with the exit code. */
export function main(words: readonly string[] = rawArgs()): Promise<number> {
  return runTool(ETCDUTL, words);
}

if (import.meta.main) process.exit(await main());
