/** etcd's feature gates: switches of features that are not final, set by `--feature-gates=A=true,B=false`. */
import { ConfigError } from "./config-error.ts";
import { parseGoBool, quoteGo } from "./go-values.ts";

/** Maturity of a gate. */
export type GateStage = "ALPHA" | "BETA";

/** One gate of etcd 3.6. */
export interface GateRow {
  readonly name: string;
  readonly stage: GateStage;
  readonly default: boolean;
}

/** The gates of etcd 3.6, with its defaults but where a comment says why not. `AllAlpha` and `AllBeta` are not gates, they set all others of their stage. */
export const FEATURE_GATES: readonly GateRow[] = [
  { name: "CompactHashCheck", stage: "ALPHA", default: false },
  { name: "InitialCorruptCheck", stage: "ALPHA", default: false },
  // Off in etcd: there a leader change gives every lease its whole TTL again.
  { name: "LeaseCheckpoint", stage: "ALPHA", default: true },
  { name: "LeaseCheckpointPersist", stage: "ALPHA", default: false },
  { name: "SetMemberLocalAddr", stage: "ALPHA", default: false },
  { name: "StopGRPCServiceOnDefrag", stage: "ALPHA", default: false },
  { name: "TxnModeWriteWithSharedBuffer", stage: "BETA", default: true },
];

const STAGE_SWITCHES: Readonly<Record<string, GateStage>> = { AllAlpha: "ALPHA", AllBeta: "BETA" };

/**
 * Reads the flag's text; the result holds only what it sets.
 * @throws ConfigError with etcd's text
 */
export function parseFeatureGates(text: string): Record<string, boolean> {
  const gates = new Map<string, boolean>();
  for (const entry of text.split(",")) {
    if (entry === "") continue;
    const at = entry.indexOf("=");
    const name = (at === -1 ? entry : entry.slice(0, at)).trim();
    if (at === -1) throw new ConfigError(`missing bool value for ${name}`);
    const valueText = entry.slice(at + 1).trim();
    const value = parseGoBool(valueText);
    if (value === undefined) {
      const cause = `strconv.ParseBool: parsing ${quoteGo(valueText)}: invalid syntax`;
      throw new ConfigError(`invalid value of ${name}=${valueText}, err: ${cause}`);
    }
    gates.set(name, value);
  }
  for (const name of gates.keys()) {
    if (!Object.hasOwn(STAGE_SWITCHES, name) && !FEATURE_GATES.some((row) => row.name === name)) {
      throw new ConfigError(`unrecognized feature gate: ${name}`);
    }
  }
  return Object.fromEntries(gates);
}

/** All gates: their defaults, then `AllAlpha` and `AllBeta`, then what was set one by one. */
export function resolveFeatureGates(set: Readonly<Record<string, boolean>>): Record<string, boolean> {
  const gates: Record<string, boolean> = {};
  for (const row of FEATURE_GATES) {
    const stageSwitch = row.stage === "ALPHA" ? "AllAlpha" : "AllBeta";
    gates[row.name] = set[row.name] ?? set[stageSwitch] ?? row.default;
  }
  return gates;
}
