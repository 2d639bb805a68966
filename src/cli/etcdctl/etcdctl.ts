/**
 * etcdctl: the command line client, compatible with etcd's own in flags, output and exit codes.
 *
 * A command is a file in commands/, listed in command-table.ts and loaded only if it runs, since starting Node and gRPC is
 * most of the time a command takes. Read next: command-table.ts, session.ts (global flags, environment, client),
 * view.ts (output formats), commands/get.ts; what all tools share is in ../common.
 */
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

/** Runs the command that `words` name (default: those of this process). Resolves with the exit code. */
export async function main(words?: readonly string[]): Promise<number> {
  cacheCompiledCode();
  // Node warns that grpc-js gives an address as TLS server name. No user of this program can do anything about that.
  process.noDeprecation = true;
  const [{ ETCDCTL }, { runTool }, { rawArgs }] = await Promise.all([
    import("./command-table.ts"),
    import("../common/run-tool.ts"),
    import("../common/raw-args.ts"),
  ]);
  return runTool(ETCDCTL, words ?? rawArgs());
}

/**
 * Keeps compiled code between runs, which halves the time a command takes. In the user's own cache folder: compiled code is
 * run as it is found, so it must not come from a place such as /tmp where others can write.
 */
function cacheCompiledCode(): void {
  const folder = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  enableCompileCache(join(folder, "concord"));
}

// Output is written synchronously, so nothing is lost, and nobody waits for connections to close in good order.
if (import.meta.main) process.exit(await main());
