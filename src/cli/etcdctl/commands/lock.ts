/** `etcdctl lock` */
import type { Client } from "../../../client/client.ts";
import { Mutex } from "../../../client/mutex.ts";
import { Session, SESSION_TTL_SECONDS_DEFAULT } from "../../../client/session.ts";
import { runChild } from "../../common/child.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { logLine } from "../../common/log-line.ts";
import { decodeOsString, encodeOsString } from "../../common/os-string.ts";
import { flush } from "../../common/terminal.ts";
import { rangeView } from "../kv-view.ts";
import { openSession, withClient } from "../session.ts";
import { whenAborted, withInterrupt } from "../signals.ts";
import { type Output, show } from "../view.ts";

export const command: Command = {
  usage: "lock <lockname> [exec-command arg1 arg2 ...]",
  description: `
Waits for the lock, prints its key, and holds it until it is interrupted. With a command: runs it while it holds the lock, with
ETCD_LOCK_KEY and ETCD_LOCK_REV in its environment, and ends with its exit code.
`,
  flags: [
    { name: "ttl", type: "int64", default: 10n, help: "seconds that the lock outlives a holder that died" },
  ],
  async run(context) {
    const [name, file, ...args] = context.args;
    if (name === undefined) {
      const problem = "lock takes a lock name argument and an optional command to execute";
      throw new CliError(ExitCode.badArgs, problem);
    }
    const { client, output } = await openSession(context);
    const ttlSeconds = sessionTtl(Number(context.flags.int64("ttl")));
    await withClient(client, (each) =>
      withInterrupt(async (signal) => {
        const session = await Session.open(each, ttlSeconds);
        const mutex = new Mutex(session, encodeOsString(name));
        const revision = await mutex.lock(signal);
        if (file === undefined) await hold(each, { session, mutex, output, signal });
        else await runLocked(mutex, revision, [file, ...args]);
      }),
    );
  },
};

function sessionTtl(seconds: number): number {
  if (seconds > 0) return seconds;
  logLine("warn", "WithTTL(): TTL should be > 0, preserving current TTL", {
    "current-session-ttl": SESSION_TTL_SECONDS_DEFAULT,
  });
  return SESSION_TTL_SECONDS_DEFAULT;
}

async function runLocked(
  mutex: Mutex,
  revision: bigint,
  command: readonly [string, ...string[]],
): Promise<void> {
  const environment = { ETCD_LOCK_KEY: decodeOsString(mutex.key), ETCD_LOCK_REV: String(revision) };
  const failure = await runChild(command, environment);
  if (failure === undefined) return mutex.unlock();
  // What the command says counts more than whether the lock could be given back.
  await mutex.unlock().catch(() => undefined);
  throw new CliError(failure.exitCode, failure.message);
}

async function hold(
  { kv }: Client,
  { session, mutex, output, signal }: { session: Session; mutex: Mutex; output: Output; signal: AbortSignal },
): Promise<void> {
  const found = await kv.range({ key: mutex.key }, { timeoutMs: Infinity });
  if (found.kvs.length === 0) throw new CliError(ExitCode.error, "lock lost on init");
  show(output, rangeView(found));
  flush();
  await Promise.race([whenAborted(signal), session.ended]);
  if (!signal.aborted) throw new CliError(ExitCode.error, "session expired");
  await mutex.unlock();
}
