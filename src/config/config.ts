/**
 * From command line, `ETCD_*` environment and configuration file to one frozen {@link Config}, or to the reason not to start.
 *
 * Owns: the order of precedence (a configuration file beats everything, a flag beats its variable), defaults that depend on other
 * flags, and the lines that the start has to log about all that. Never touches the disk or a socket, except for reading
 * the configuration file, and never ends the process: `src/cli/etcd` does.
 *
 * Read next: `flag-table.ts` (the one table), `flag-values.ts`, `command-line.ts`, `environment.ts`, `config-file.ts`, `validate.ts`.
 */
import { assembleConfig } from "./assemble.ts";
import { parseCommandLine, type CommandLine } from "./command-line.ts";
import { ConfigError } from "./config-error.ts";
import { readEnvironment } from "./environment.ts";
import type { FlagValue } from "./flag-row.ts";
import type { FlagConfig } from "./flag-table.ts";
import { quoteGo } from "./go-values.ts";
import { HELP_TEXT, USAGE_TEXT, versionText } from "./help.ts";
import type { LogLine } from "./log-line.ts";
import { ADVERTISE_CLIENT_URLS_MISSING } from "./validate.ts";

/** What does not come from one flag alone. */
interface DerivedConfig {
  /** `--data-dir=:memory:`: nothing is kept on disk. */
  readonly inMemory: boolean;
  /** `electionTimeoutMs / heartbeatIntervalMs`, whole ticks. */
  readonly electionTicks: number;
  /** Time that a unary request may take inside the server: 5 s and two election timeouts. */
  readonly requestTimeoutMs: number;
}

/**
 * Everything that the operator decided, by field: the flag's name in camelCase, its unit last. Frozen plain data, so that it can be
 * a worker's `workerData`. `dataDir` is never empty, and zeros that stand for a default are replaced by it, except for
 * `quotaBackendBytes`, of which clients see the number given.
 */
export type Config = FlagConfig & DerivedConfig;

/** Where a configuration comes from. */
export interface ConfigSources {
  /** The words after the program's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads a whole file; throws as `fs.readFileSync` does. */
  readFile(path: string): string;
}

/** What `--log-level` may be. */
const LOG_LEVELS: ReadonlySet<string> = new Set([
  "debug",
  "info",
  "warn",
  "error",
  "dpanic",
  "panic",
  "fatal",
]);

/** Either a configuration, or how to end. `log` is to be logged first in both cases. */
export type LoadOutcome =
  | { readonly kind: "config"; readonly config: Config; readonly log: readonly LogLine[] }
  | {
      readonly kind: "exit";
      readonly code: number;
      readonly stdout: string;
      readonly stderr: string;
      readonly log: readonly LogLine[];
    };

/** Puts the sources together. Rejects only on defects of its own: an operator's mistakes are outcomes of kind `exit`. */
export async function loadConfig(sources: ConfigSources): Promise<LoadOutcome> {
  let commandLine: CommandLine;
  try {
    commandLine = parseCommandLine(sources.argv);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return exit(2, { stderr: `${error.message}\n${USAGE_TEXT}\n` });
  }
  if (commandLine.help) return exit(0, { stderr: `${USAGE_TEXT}\n`, stdout: `${HELP_TEXT}\n` });
  if (commandLine.stray !== undefined) return refuse(sources, `"${commandLine.stray}" is not a valid flag`);
  if (commandLine.values.get("version") === true) return exit(0, { stdout: versionText() });
  try {
    return await load(sources, commandLine);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return refuse(sources, error.message);
  }
}

async function load(sources: ConfigSources, commandLine: CommandLine): Promise<LoadOutcome> {
  const fileName = commandLine.values.get("config-file") || sources.env["ETCD_CONFIG_FILE"];
  if (typeof fileName === "string" && fileName !== "") return loadFromFile(sources, fileName);
  const environment = readEnvironment(sources.env, new Set(commandLine.values.keys()));
  const log = [...environment.log];
  if (environment.fatal !== undefined) return exit(1, { log: [...log, environment.fatal] });
  const values = new Map<string, FlagValue>([...environment.values, ...commandLine.values]);
  for (const flag of commandLine.ignored) {
    log.push({
      level: "warn",
      msg: "flag is no longer supported - ignoring",
      fields: { "flag-name": flag },
    });
  }
  return finish(sources, { values, log, fromFile: false });
}

async function loadFromFile(sources: ConfigSources, path: string): Promise<LoadOutcome> {
  // The YAML library costs 30 ms and 12 MB, so only those who use it pay.
  const { parseConfigFile } = await import("./config-file.ts");
  const values = parseConfigFile(readText(sources, path));
  const msg =
    "loaded server configuration, other configuration command line flags and environment variables " +
    "will be ignored if provided";
  return finish(sources, { values, log: [{ level: "info", msg, fields: { path } }], fromFile: true });
}

function readText(sources: ConfigSources, path: string): string {
  try {
    return sources.readFile(path);
  } catch (error) {
    throw new ConfigError(`open ${path}: ${describeFileError(error as NodeJS.ErrnoException)}`);
  }
}

function describeFileError(error: NodeJS.ErrnoException): string {
  const known: Readonly<Record<string, string>> = {
    ENOENT: "no such file or directory",
    EACCES: "permission denied",
    EISDIR: "is a directory",
  };
  return known[error.code ?? ""] ?? error.message;
}

function finish(
  sources: ConfigSources,
  gathered: { values: ReadonlyMap<string, FlagValue>; log: readonly LogLine[]; fromFile: boolean },
): LoadOutcome {
  const { config, log, problem, startProblem } = assembleConfig(gathered);
  if (!LOG_LEVELS.has(config.logLevel)) {
    // etcd panics here, so this is what scripts that check its exit code have met.
    return exit(2, { log: gathered.log, stderr: `panic: unrecognized level: ${quoteGo(config.logLevel)}\n` });
  }
  const lines = [...gathered.log, ...log, runningLine(sources)];
  if (problem !== undefined) return exit(1, { log: [...lines, ...refusal(problem)] });
  if (startProblem !== undefined) {
    return exit(1, {
      log: [...lines, { level: "fatal", msg: "discovery failed", fields: { error: startProblem } }],
    });
  }
  return { kind: "config", config, log: lines };
}

function runningLine({ argv }: ConfigSources): LogLine {
  return { level: "info", msg: "Running: ", fields: { args: ["etcd", ...argv] } };
}

function refusal(problem: string): LogLine[] {
  const lines: LogLine[] = [{ level: "warn", msg: "failed to verify flags", fields: { error: problem } }];
  if (problem === ADVERTISE_CLIENT_URLS_MISSING) {
    lines.push({ level: "warn", msg: "advertise client URLs are not set", fields: { error: problem } });
  }
  return lines;
}

function refuse(sources: ConfigSources, problem: string): LoadOutcome {
  return exit(1, { log: [runningLine(sources), ...refusal(problem)] });
}

function exit(
  code: number,
  { stdout = "", stderr = "", log = [] }: { stdout?: string; stderr?: string; log?: readonly LogLine[] },
): LoadOutcome {
  return { kind: "exit", code, stdout, stderr, log };
}
