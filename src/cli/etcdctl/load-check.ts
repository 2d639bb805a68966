/** What `check perf` and `check datascale` have in common: workloads, connections, cleaning up. */
import type { Client, ClientOptions } from "../../client/client.ts";
import { EtcdError } from "../../client/etcd-error.ts";
import { CliError, ExitCode } from "../common/cli-error.ts";
import type { CommandContext } from "../common/command.ts";
import type { FlagSpec } from "../common/flags.ts";
import { goQuote } from "../common/go-quote.ts";
import { encodeOsString } from "../common/os-string.ts";
import { flush, printLine } from "../common/terminal.ts";
import { keyRange } from "./key-range.ts";
import type { LoadReport } from "./load-report.ts";
import { connect, openSession } from "./session.ts";

const MODELS: Readonly<Record<string, "s" | "m" | "l" | "xl">> = {
  s: "s",
  small: "s",
  m: "m",
  medium: "m",
  l: "l",
  large: "l",
  xl: "xl",
  xLarge: "xl",
};
/** Time that cleaning up may take. */
const CLEANUP_MS = 30_000;

/** Flags of both commands. */
export function loadCheckFlags(prefix: string): FlagSpec[] {
  return [
    {
      name: "load",
      type: "string",
      default: "s",
      help: "workload: s(small), m(medium), l(large) or xl(xLarge)",
    },
    { name: "prefix", type: "string", default: prefix, help: "prefix of the keys that are written" },
    {
      name: "auto-compact",
      type: "bool",
      default: false,
      help: "compact the history up to the last revision afterwards",
    },
    { name: "auto-defrag", type: "bool", default: false, help: "defragment the database afterwards" },
  ];
}

/** Reads `--load`. Throws CliError. */
export function selectLoad<T>(load: string, models: Readonly<Record<"s" | "m" | "l" | "xl", T>>): T {
  const model = MODELS[load];
  if (model === undefined) throw new CliError(ExitCode.badFeature, `unknown load option ${load}`);
  return models[model];
}

/**
 * Runs a check with many clients, after a look that no keys below `--prefix` are somebody's (`deletion` is the command that the refusal
 * names). Throws CliError; errors of the cluster become one.
 */
export async function withLoadClients(
  context: CommandContext,
  { count, deletion }: { readonly count: number; readonly deletion: (prefix: string) => string },
  check: (load: { clients: readonly Client[]; prefix: string; options: ClientOptions }) => Promise<void>,
): Promise<void> {
  const prefix = context.flags.string("prefix");
  const { client: options } = await openSession(context);
  const clients = await connectMany(options, count);
  try {
    await checkPrefixEmpty(clients[0], prefix, deletion(prefix));
    await warmUp(clients, prefix);
    await check({ clients, prefix, options });
  } catch (error) {
    throw error instanceof EtcdError ? new CliError(ExitCode.error, error.message) : error;
  } finally {
    for (const client of clients) client.close();
  }
}

/** Connects that many clients, each with a connection of its own: a cluster has to cope with those, too. */
async function connectMany(options: ClientOptions, count: number): Promise<Client[]> {
  return Promise.all(Array.from({ length: count }, () => connect({ ...options, ownConnection: true })));
}

/**
 * A client connects with its first call, and connecting hundreds keeps this process busy for a second: without this the check would
 * take that for latency of the cluster.
 */
async function warmUp(clients: readonly Client[], prefix: string): Promise<void> {
  const request = {
    ...keyRange(prefix, { prefix: true, fromKey: false }),
    countOnly: true,
    serializable: true,
  };
  await Promise.all(clients.map(({ kv }) => kv.range(request, { timeoutMs: Infinity })));
}

/** Refuses to write among keys that are somebody's. Throws CliError. */
async function checkPrefixEmpty({ kv }: Client, prefix: string, command: string): Promise<void> {
  const { kvs } = await kv.range(
    { ...keyRange(prefix, { prefix: true, fromKey: false }), limit: 1n },
    { timeoutMs: Infinity },
  );
  if (kvs.length === 0) return;
  const problem = `prefix ${goQuote(prefix)} has keys. Delete with ${command} first`;
  throw new CliError(ExitCode.invalidInput, problem);
}

/** Deletes the keys. Returns the revision of it. Rejects with EtcdError. */
export async function deletePrefix({ kv }: Client, prefix: string, timeoutMs = CLEANUP_MS): Promise<bigint> {
  const range = keyRange(prefix, { prefix: true, fromKey: false });
  return (await kv.deleteRange(range, { timeoutMs })).header?.revision ?? 0n;
}

/** Compacts up to `revision`, and waits until the space is free. Rejects with EtcdError. */
export async function compactTo({ kv }: Client, revision: bigint): Promise<void> {
  printLine(`Compacting with revision ${revision}`);
  flush();
  await kv.compact({ revision, physical: true }, { timeoutMs: CLEANUP_MS });
  printLine(`Compacted with revision ${revision}`);
}

/** Defragments one member after the other. Rejects with EtcdError. */
export async function defragmentAll({ maintenance }: Client, endpoints: readonly string[]): Promise<void> {
  for (const endpoint of endpoints) {
    printLine(`Defragmenting ${goQuote(endpoint)}`);
    flush();
    await maintenance.defragment({}, { endpoint, timeoutMs: CLEANUP_MS });
    printLine(`Defragmented ${goQuote(endpoint)}`);
  }
}

/** A put, with its latency or its error in the report. */
export async function measuredPut(
  { kv }: Client,
  request: { readonly key: Uint8Array; readonly value: Uint8Array },
  report: LoadReport,
): Promise<void> {
  const startedMs = performance.now();
  try {
    await kv.put(request, { timeoutMs: Infinity });
    report.addLatency(performance.now() - startedMs);
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    report.addError(error.message);
  }
}

/** Prints what went wrong. True if nothing did. */
export function printErrors(errors: ReadonlyMap<string, number>): boolean {
  if (errors.size === 0) return true;
  printLine("FAIL: too many errors");
  for (const [message, count] of errors) printLine(`FAIL: ERROR(${message}) -> ${count}`);
  return false;
}

/** Random keys of a fixed length under a prefix. */
export function randomKey(prefix: string, bytes: number): Uint8Array {
  const start = encodeOsString(prefix);
  const key = new Uint8Array(start.length + bytes);
  key.set(start);
  crypto.getRandomValues(key.subarray(start.length, start.length + RANDOM_BYTES));
  return key;
}

const RANDOM_BYTES = 8;
