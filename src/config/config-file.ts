/**
 * `--config-file`: YAML (or JSON) with the flags' names as keys, some of them in groups. Durations are integers of nanoseconds,
 * lists of URLs one comma string, other lists YAML lists. Unknown keys are ignored, as in etcd.
 */
import { parse } from "yaml";

import { ConfigError } from "./config-error.ts";
import type { FlagRow, FlagValue } from "./flag-row.ts";
import { FLAGS } from "./flag-table.ts";
import { parseFlagValue } from "./flag-values.ts";

type YamlMap = Readonly<Record<string, unknown>>;

/** Keys that must hold a map, and the name of etcd's type in its complaint. */
const GROUPS: Readonly<Record<string, string>> = {
  "client-transport-security": "embed.securityConfig",
  "peer-transport-security": "embed.securityConfig",
  "discovery-config": "v3discovery.DiscoveryConfig",
  "socket-options": "transport.SocketOpts",
};

/**
 * Reads the file's text; returns the values by flag name.
 * @throws ConfigError with etcd's text
 */
export function parseConfigFile(text: string): Map<string, FlagValue> {
  const root = parseYaml(text);
  const values = new Map<string, FlagValue>();
  for (const row of FLAGS) {
    if (row.yaml === null) continue;
    const path = row.yaml ?? row.name;
    const value = lookUp(root, path);
    if (value !== undefined && value !== null) values.set(row.name, readYamlValue(row, path, value));
  }
  return values;
}

function parseYaml(text: string): YamlMap {
  let root: unknown;
  try {
    root = parse(text);
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0];
    throw new ConfigError(`error converting YAML to JSON: yaml: ${reason}`);
  }
  if (root === null || root === undefined) return {};
  if (!isMap(root)) throw mismatch(root, "Go value of type embed.configYAML");
  for (const [key, type] of Object.entries(GROUPS)) {
    const group = root[key];
    if (group !== undefined && group !== null && !isMap(group)) {
      throw mismatch(group, `Go struct field configYAML.configJSON.${key} of type ${type}`);
    }
  }
  return root;
}

function lookUp(root: YamlMap, path: string): unknown {
  let at: unknown = root;
  for (const key of path.split(".")) {
    if (!isMap(at)) return undefined;
    at = at[key];
  }
  return at;
}

function readYamlValue(row: FlagRow, path: string, value: unknown): FlagValue {
  const fail = (type: string): never => {
    throw mismatch(value, `Go struct field configYAML.Config.${path} of type ${type}`);
  };
  switch (row.type) {
    case "bool":
      return typeof value === "boolean" ? value : fail("bool");
    case "duration":
      return Number.isInteger(value) ? (value as number) / 1e6 : fail("time.Duration");
    case "int":
    case "int64":
      return Number.isInteger(value) ? (value as number) : fail(row.type);
    case "uint":
    case "uint64":
    case "uint32":
      return Number.isInteger(value) && (value as number) >= 0 ? (value as number) : fail(row.type);
    default:
      return readYamlText(row, value, fail);
  }
}

/** Lists that the file gives as YAML lists; every other one is a comma string. */
const YAML_LISTS: ReadonlySet<string> = new Set(["strings", "log-outputs", "discovery-endpoints"]);

function readYamlText(row: FlagRow, value: unknown, fail: (type: string) => never): FlagValue {
  if (YAML_LISTS.has(row.type) || YAML_LISTS.has(row.name)) {
    const isList = Array.isArray(value) && value.every((item) => typeof item === "string");
    return isList ? value : fail("[]string");
  }
  if (typeof value !== "string") return fail("string");
  try {
    return parseFlagValue(row, value);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (row.type === "urls") {
      throw new ConfigError(`unexpected error setting up ${row.name}: ${error.message}`);
    }
    if (row.name === "initial-cluster-state") throw new ConfigError(`unexpected clusterState "${value}"`);
    throw error;
  }
}

function mismatch(value: unknown, target: string): ConfigError {
  const cause = `json: cannot unmarshal ${describe(value)} into ${target}`;
  return new ConfigError(`error unmarshaling JSON: while decoding JSON: ${cause}`);
}

/** How Go names a JSON value; it prints a number only where a number could have fitted. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "object") return "object";
  return typeof value === "number" && (value < 0 || !Number.isInteger(value))
    ? `number ${value}`
    : typeof value;
}

function isMap(value: unknown): value is YamlMap {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
