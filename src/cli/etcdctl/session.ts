/** What the global flags and the environment say: how to reach the cluster, and how to print. */
import { Client, type ClientOptions } from "../../client/client.ts";
import type { TlsOptions } from "../../client/credentials.ts";
import { EtcdError } from "../../client/etcd-error.ts";
import { CliError, ExitCode } from "../common/cli-error.ts";
import type { CommandContext } from "../common/command.ts";
import type { Flags } from "../common/flags.ts";
import { logLine } from "../common/log-line.ts";
import { discoverEndpoints } from "./discovery.ts";
import { applyEnvironment, printSettings } from "./global-flags.ts";
import { askPassword } from "./password.ts";
import type { Output } from "./view.ts";
import { selectOutput } from "./view.ts";

/** The settings of one run. */
export interface Session {
  readonly client: ClientOptions;
  readonly output: Output;
}

/** Reads the settings. Throws CliError for those that make no sense. */
export async function openSession({ flags, inherited }: CommandContext): Promise<Session> {
  applyEnvironment(flags, inherited, process.env);
  if (flags.bool("debug")) printSettings(flags, inherited);
  const endpoints = await selectEndpoints(flags);
  const tls = selectTls(flags);
  const user = splitUser(flags.string("user"), flags.string("password"), "Password: ");
  const output = selectOutput(flags.string("write-out"), flags.bool("hex"));
  const client: ClientOptions = {
    endpoints,
    tls,
    user,
    dialTimeoutMs: milliseconds(flags.duration("dial-timeout")),
    callTimeoutMs: milliseconds(flags.duration("command-timeout")),
    keepaliveTimeMs: milliseconds(flags.duration("keepalive-time")),
    keepaliveTimeoutMs: milliseconds(flags.duration("keepalive-timeout")),
    requestBytesMax: Number(flags.int64("max-request-bytes")),
    responseBytesMax: Number(flags.int64("max-recv-bytes")),
    onAttemptFailed: ({ endpoint, method, attempt, error }) =>
      logLine("warn", "retrying of unary invoker failed", {
        logger: "etcd-client",
        target: endpoint ?? endpoints.join(","),
        method,
        attempt,
        error: error.status,
      }),
  };
  return { client, output };
}

/** Connects. Ends the program with exit code 128 for bad certificate files, 2 if the login fails. */
export async function connect(options: ClientOptions): Promise<Client> {
  try {
    return await Client.connect(options);
  } catch (error) {
    const exitCode = error instanceof EtcdError ? ExitCode.badConnection : ExitCode.badArgs;
    throw new CliError(exitCode, (error as Error).message);
  }
}

/** Connects, does `work`, closes. An error of the cluster ends the program: with exit code 1, or as `fail` says. */
export async function withClient<T>(
  options: ClientOptions,
  work: (client: Client) => Promise<T>,
  fail = (message: string) => new CliError(ExitCode.error, message),
): Promise<T> {
  const client = await connect(options);
  try {
    return await work(client);
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    throw fail(error.message);
  } finally {
    client.close();
  }
}

async function selectEndpoints(flags: Flags): Promise<string[]> {
  const domain = flags.string("discovery-srv");
  if (domain !== "") {
    const found = await discoverEndpoints(
      domain,
      flags.string("discovery-srv-name"),
      flags.bool("insecure-discovery"),
    );
    if (found.length > 0) return found;
  }
  return flags.strings("endpoints").map((endpoint) => endpoint.trim());
}

/** Undefined: TLS only where an endpoint's scheme asks for it. */
function selectTls(flags: Flags): TlsOptions | undefined {
  for (const name of ["cert", "key", "cacert"]) {
    if (flags.string(name) === "" && flags.changed(name)) {
      throw new CliError(ExitCode.badArgs, `empty string is passed to --${name} option`);
    }
  }
  const certFile = flags.string("cert");
  const keyFile = flags.string("key");
  const caFile = flags.string("cacert");
  const serverName = flags.bool("insecure-discovery") ? "" : flags.string("discovery-srv");
  const insecureSkipVerify = flags.bool("insecure-skip-tls-verify");
  const wanted = certFile + keyFile + caFile + serverName !== "" || !flags.bool("insecure-transport");
  if (!wanted && !insecureSkipVerify) return undefined;
  return { certFile, keyFile, caFile, serverName, insecureSkipVerify };
}

/** A user as `name[:password]`, or with the password of its own; asks for one that is missing. */
export function splitUser(user: string, password: string, prompt: string): ClientOptions["user"] {
  if (user === "") return undefined;
  if (password !== "") return { name: user, password };
  const colon = user.indexOf(":");
  if (colon === -1) return { name: user, password: askPassword(prompt) };
  return { name: user.slice(0, colon), password: user.slice(colon + 1) };
}

/** Go's durations are nanoseconds, ours milliseconds. */
export function milliseconds(ns: bigint): number {
  return Number(ns) / 1e6;
}
