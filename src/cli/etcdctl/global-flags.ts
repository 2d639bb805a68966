/** Flags of every command of etcdctl, each also an environment variable `ETCDCTL_<NAME>`. */
import { CliError, ExitCode } from "../common/cli-error.ts";
import type { FlagSpec, Flags } from "../common/flags.ts";
import { SyntaxProblem } from "../common/go-number.ts";
import { logLine } from "../common/log-line.ts";
import { printErrorLine } from "../common/terminal.ts";

const SECOND = 1_000_000_000n;

export const GLOBAL_FLAGS: readonly FlagSpec[] = [
  { name: "endpoints", type: "strings", default: ["127.0.0.1:2379"], help: "gRPC endpoints" },
  { name: "debug", type: "bool", default: false, help: "print the settings of the client" },
  {
    name: "write-out",
    short: "w",
    type: "string",
    default: "simple",
    help: "output format (fields, json, protobuf, simple, table)",
  },
  { name: "hex", type: "bool", default: false, help: "print byte strings as hexadecimal" },
  { name: "dial-timeout", type: "duration", default: 2n * SECOND, help: "time to connect" },
  {
    name: "command-timeout",
    type: "duration",
    default: 5n * SECOND,
    help: "time for a short command, without connecting",
  },
  {
    name: "keepalive-time",
    type: "duration",
    default: 2n * SECOND,
    help: "pause after which the connection is checked",
  },
  { name: "keepalive-timeout", type: "duration", default: 6n * SECOND, help: "time the check may take" },
  { name: "max-request-bytes", type: "int64", default: 0n, help: "longest request in bytes (0: 2 MiB)" },
  { name: "max-recv-bytes", type: "int64", default: 0n, help: "longest response in bytes (0: 2 GiB)" },
  {
    name: "insecure-transport",
    type: "bool",
    default: true,
    help: "connect without TLS unless the endpoint asks for it",
  },
  {
    name: "insecure-discovery",
    type: "bool",
    default: true,
    help: "accept endpoints without TLS from SRV records",
  },
  {
    name: "insecure-skip-tls-verify",
    type: "bool",
    default: false,
    help: "accept any certificate of the server (only for tests)",
  },
  { name: "cert", type: "string", default: "", help: "TLS certificate file of this client" },
  { name: "key", type: "string", default: "", help: "TLS key file of this client" },
  {
    name: "cacert",
    type: "string",
    default: "",
    help: "certificates of the authorities that servers are checked against",
  },
  {
    name: "user",
    type: "string",
    default: "",
    help: "name[:password] of the user; asks for a password that is missing",
  },
  {
    name: "password",
    type: "string",
    default: "",
    help: "password of the user (then --user is the name alone)",
  },
  {
    name: "discovery-srv",
    short: "d",
    type: "string",
    default: "",
    help: "domain whose SRV records name the endpoints",
  },
  {
    name: "discovery-srv-name",
    type: "string",
    default: "",
    help: "suffix of the service name in SRV records",
  },
];

const ENV_PREFIX = "ETCDCTL_";

/**
 * Sets flags from the environment. A variable that a flag contradicts ends the program, one that no flag knows is warned of,
 * a value that cannot be read is passed over: all as etcd's client does.
 */
export function applyEnvironment(
  flags: Flags,
  inherited: readonly FlagSpec[],
  environment: NodeJS.ProcessEnv,
): void {
  const used = new Set<string>();
  const contradicted = new Set<string>();
  for (const spec of inherited) {
    const name = envName(spec);
    if (flags.changed(spec.name)) {
      contradicted.add(name);
      continue;
    }
    const text = environment[name];
    if (!text) continue;
    used.add(name);
    try {
      flags.set(spec, text);
    } catch (error) {
      if (!(error instanceof SyntaxProblem)) throw error;
    }
  }
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith(ENV_PREFIX) || used.has(name)) continue;
    if (contradicted.has(name)) failContradicted(name);
    logLine("warn", "unrecognized environment variable", { "environment-variable": `${name}=${value}` });
  }
}

function failContradicted(name: string): never {
  const message =
    "conflicting environment variable is shadowed by corresponding command-line flag " +
    "(either unset environment variable or disable flag))";
  logLine("fatal", message, { "environment-variable": name });
  throw new CliError(ExitCode.error, "");
}

/** `--debug`: every setting, as the environment variable that would make it. */
export function printSettings(flags: Flags, inherited: readonly FlagSpec[]): void {
  const sorted = [...inherited].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const spec of sorted) printErrorLine(`${envName(spec)}=${flags.format(spec)}`);
}

function envName(spec: FlagSpec): string {
  return ENV_PREFIX + spec.name.toUpperCase().replaceAll("-", "_");
}
