/** `ETCD_*` variables: each flag has one, used when the flag itself is not on the command line. */
import { ConfigError } from "./config-error.ts";
import { environmentName, type FlagValue } from "./flag-row.ts";
import { FLAGS, IGNORED_FLAGS } from "./flag-table.ts";
import { parseFlagValue } from "./flag-values.ts";
import { quoteGo } from "./go-values.ts";
import type { LogLine } from "./log-line.ts";

/** What the environment says. */
export interface Environment {
  /** Values by flag name. */
  readonly values: ReadonlyMap<string, FlagValue>;
  readonly log: readonly LogLine[];
  /** A variable stands against a flag: etcd logs this line and ends with code 1. */
  readonly fatal?: LogLine;
}

/** Switches of this process that are no flags; they must not be reported as unknown ones. */
const SPECIAL_VARIABLES: ReadonlySet<string> = new Set(["ETCD_VERSION", "ETCD_CONFIG_FILE"]);

/**
 * Reads the variables of all flags that are not in `given`.
 * @throws ConfigError `invalid value "x" for ETCD_NAME: ...`
 */
export function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  given: ReadonlySet<string>,
): Environment {
  const values = new Map<string, FlagValue>();
  const log: LogLine[] = [];
  const known = new Set(SPECIAL_VARIABLES);
  if (env["ETCD_VERSION"]) {
    const fields = { key: "ETCD_VERSION", value: env["ETCD_VERSION"] };
    log.push({ level: "warn", msg: "cannot set special environment variable", fields });
  }
  for (const row of FLAGS) {
    const key = environmentName(row.name);
    const text = env[key];
    if (!text || given.has(row.name) || SPECIAL_VARIABLES.has(key)) continue;
    known.add(key);
    values.set(row.name, readVariable(row, key, text));
    const fields = { "variable-name": key, "variable-value": text };
    log.push({ level: "info", msg: "recognized and used environment variable", fields });
  }
  for (const name of IGNORED_FLAGS) known.add(environmentName(name));
  return { values, ...reportOthers(env, { known, given, log }) };
}

function readVariable(row: (typeof FLAGS)[number], key: string, text: string): FlagValue {
  try {
    return parseFlagValue(row, text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(`invalid value ${quoteGo(text)} for ${key}: ${error.message}`);
  }
}

function reportOthers(
  env: Readonly<Record<string, string | undefined>>,
  { known, given, log }: { known: ReadonlySet<string>; given: ReadonlySet<string>; log: LogLine[] },
): { log: LogLine[]; fatal?: LogLine } {
  const shadowed = new Set([...given].map(environmentName));
  for (const [key, text] of Object.entries(env)) {
    if (shadowed.has(key)) {
      const msg =
        "conflicting environment variable is shadowed by corresponding command-line flag " +
        "(either unset environment variable or disable flag))";
      return { log, fatal: { level: "fatal", msg, fields: { "environment-variable": key } } };
    }
    if (known.has(key) || !key.startsWith("ETCD_")) continue;
    const fields = { "environment-variable": `${key}=${text}` };
    log.push({ level: "warn", msg: "unrecognized environment variable", fields });
  }
  return { log };
}
