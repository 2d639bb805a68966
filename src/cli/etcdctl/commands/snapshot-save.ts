/** `etcdctl snapshot save` */
import { createHash } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Client } from "../../../client/client.ts";
import { EtcdError } from "../../../client/etcd-error.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { fileErrorText } from "../../common/file-error.ts";
import { formatGoDuration } from "../../common/go-duration.ts";
import { humanBytes } from "../../common/human-bytes.ts";
import { logLine } from "../../common/log-line.ts";
import { printLine } from "../../common/terminal.ts";
import { ProgressBar } from "../../common/progress-bar.ts";
import { connect, milliseconds, openSession } from "../session.ts";

export const command: Command = {
  usage: "save <filename>",
  description: `
Saves the database of the member of --endpoints, which must be one, to a file. The file appears when it is complete, checked and
on the disk. Without --command-timeout it may take as long as it takes.
`,
  async run(context) {
    const [path, ...others] = context.args;
    if (path === undefined || others.length > 0) {
      throw new CliError(ExitCode.badArgs, "snapshot save expects one argument <filename>");
    }
    const { client: options } = await openSession(context);
    const [endpoint, ...more] = options.endpoints;
    if (more.length > 0) {
      const list = `[${options.endpoints.join(" ")}]`;
      const problem = `snapshot must be requested to one selected node, not multiple ${list}`;
      throw new CliError(ExitCode.interrupted, problem);
    }
    const hasTimeout = context.flags.changed("command-timeout");
    const timeoutMs = hasTimeout ? milliseconds(context.flags.duration("command-timeout")) : Infinity;
    const client = await connect(options);
    try {
      const version = await saveSnapshot(client, path, { endpoint, timeoutMs });
      printLine(`Snapshot saved at ${path}`);
      if (version !== "") printLine(`Server version ${version}`);
    } finally {
      client.close();
    }
  },
};

const FILE_MODE = 0o600;
const HASH_BYTES = 32;

/** Writes the file and resolves with the version of the server. Throws CliError; nothing is left behind then. */
async function saveSnapshot(
  client: Client,
  path: string,
  { endpoint, timeoutMs }: { endpoint: string; timeoutMs: number },
): Promise<string> {
  const part = `${path}.part`;
  const startNs = process.hrtime.bigint();
  const file = await attempt(`could not open ${part}`, () => open(part, "w", FILE_MODE));
  logLine("info", "created temporary db file", { path: part });
  try {
    logLine("info", "fetching snapshot", { endpoint });
    const { size, version } = await download(client, file, timeoutMs);
    await attempt("could not fsync snapshot", () => file.sync());
    await file.close();
    const took = formatGoDuration(process.hrtime.bigint() - startNs);
    const fields = { endpoint, size: humanBytes(BigInt(size)), took, "etcd-version": version };
    logLine("info", "fetched snapshot", fields);
    await attempt(`could not rename ${part} to ${path}`, () => rename(part, path));
    await syncDirectory(dirname(path));
    logLine("info", "saved", { path });
    return version;
  } finally {
    await file.close();
    await rm(part, { force: true });
  }
}

/** Writes what the server sends, and checks that its SHA-256, which comes last, is that of what came before. */
async function download(
  client: Client,
  file: FileHandle,
  timeoutMs: number,
): Promise<{ size: number; version: string }> {
  const bar = new ProgressBar({ format: (bytes) => humanBytes(BigInt(bytes)) });
  const hash = createHash("sha256");
  let trailer = Buffer.alloc(0);
  let size = 0;
  let version = "";
  try {
    for await (const { blob, remainingBytes, version: sent } of client.snapshot({ timeoutMs })) {
      version ||= sent;
      if (size === 0) bar.total = blob.length + Number(remainingBytes);
      // The last bytes of all are the hash, however the server has cut them into parts.
      const pending = Buffer.concat([trailer, blob]);
      const known = Math.max(0, pending.length - HASH_BYTES);
      hash.update(pending.subarray(0, known));
      trailer = pending.subarray(known);
      await attempt("could not write snapshot", () => file.writeFile(blob));
      size += blob.length;
      bar.add(blob.length);
    }
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    throw new CliError(
      ExitCode.interrupted,
      size === 0 ? error.message : `could not write snapshot: ${error.message}`,
    );
  } finally {
    bar.finish();
  }
  if (size % 512 !== HASH_BYTES) fail(`sha256 checksum not found [bytes: ${size}]`);
  if (!hash.digest().equals(trailer))
    fail("the snapshot has arrived damaged: its sha256 checksum does not match");
  return { size, version };
}

/** The file's name must survive a power cut, like its bytes. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function attempt<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    return fail(`${what} (${fileErrorText(error)})`);
  }
}

function fail(message: string): never {
  throw new CliError(ExitCode.interrupted, message);
}
