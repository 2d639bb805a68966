/** `--log-rotation-config-json`: lumberjack's settings, read as Go's encoding/json reads them. */
import type { RotationSettings } from "../telemetry/rotating-file.ts";
import { ConfigError } from "./config-error.ts";

const DEFAULTS: RotationSettings = {
  maxsize: 0,
  maxage: 0,
  maxbackups: 0,
  localtime: false,
  compress: false,
};

/**
 * Reads the settings; fields that are not given are 0 or false, unknown ones are passed over.
 * @throws ConfigError with etcd's text
 */
export function parseLogRotation(json: string): RotationSettings {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (error) {
    throw new ConfigError(`improperly formatted log rotation config: ${(error as Error).message}`);
  }
  if (parsed === null) return DEFAULTS;
  if (typeof parsed !== "object" || Array.isArray(parsed)) {
    throw invalid(`${goType(parsed)} into Go value of type embed.logRotationConfig`);
  }
  const settings: Record<string, unknown> = { ...DEFAULTS };
  for (const [key, value] of Object.entries(parsed)) {
    const field = key.toLowerCase();
    if (value === null || !Object.hasOwn(DEFAULTS, field)) continue;
    const isBoolean = typeof settings[field] === "boolean";
    const place = `Go struct field logRotationConfig.Logger.${field} of type ${isBoolean ? "bool" : "int"}`;
    if (isBoolean ? typeof value !== "boolean" : typeof value !== "number") {
      throw invalid(`${goType(value)} into ${place}`);
    }
    if (!isBoolean && !Number.isSafeInteger(value)) throw invalid(`number ${String(value)} into ${place}`);
    settings[field] = value;
  }
  return settings as unknown as RotationSettings;
}

function goType(value: unknown): string {
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}

function invalid(what: string): ConfigError {
  return new ConfigError(`invalid log rotation config: json: cannot unmarshal ${what}`);
}
