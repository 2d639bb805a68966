/**
 * What a row of the flag table says, and the value types that follow from it. The rows stand in `flags-*.ts` by help
 * section; `flag-table.ts` joins them.
 */
import type { ListenUrl } from "./urls.ts";

/** How a flag's text is read. The first seven are Go's own flag types, the others are etcd's. */
export type FlagType =
  | "string"
  | "bool"
  | "int"
  | "uint"
  | "int64"
  | "uint64"
  | "duration"
  | "uint32"
  /** Comma list of URLs, sorted and without repetitions; `http`, `https`, `unix` or `unixs`. */
  | "urls"
  /** Comma list of URLs, or `*`. */
  | "origins"
  /** Comma list in the order given. */
  | "strings"
  /** Comma list, sorted and without repetitions. */
  | "stringSet"
  /** One of `choices`. */
  | "choice"
  /** Comma list of `choices`. */
  | "choices"
  /** Comma list of `Gate=bool`. */
  | "gates";

/** One flag. Its environment variable follows from the name, see {@link environmentName}. */
export interface FlagRow {
  readonly name: string;
  readonly type: FlagType;
  /** The default as it would be typed; `""` is the type's empty value. */
  readonly default: string;
  /** Our sentence for `--help`. */
  readonly help: string;
  /** Name in the `Config`, with the unit last; rows without one are handled by the loader itself. */
  readonly field?: string;
  /** Path in the YAML file, when it is not the flag's name; null: the file cannot set it. */
  readonly yaml?: string | null;
  readonly choices?: readonly string[];
  /** The flag is an older name: its value goes to this flag's field. */
  readonly renamedTo?: string;
  /** The flag is an older switch of this feature gate. */
  readonly gate?: string;
  /** Warning that etcd logs when the flag is set. */
  readonly deprecated?: string;
  /** Known, read and checked, but nothing acts on it yet: the start says so when it is set. */
  readonly noEffectYet?: boolean;
  /** Not a flag of etcd. */
  readonly ours?: boolean;
}

/** Values by flag type. 64-bit integers are checked in full and then held as numbers: exact up to 2^53. */
export interface FlagValues {
  string: string;
  bool: boolean;
  int: number;
  uint: number;
  int64: number;
  uint64: number;
  uint32: number;
  /** Milliseconds, with a fraction where the flag had one. */
  duration: number;
  urls: readonly ListenUrl[];
  origins: readonly string[];
  strings: readonly string[];
  stringSet: readonly string[];
  choice: string;
  choices: readonly string[];
  gates: Readonly<Record<string, boolean>>;
}

/** Any flag's value. */
export type FlagValue = FlagValues[FlagType];

/** `initial-cluster` -> `ETCD_INITIAL_CLUSTER`. */
export function environmentName(flagName: string): string {
  return `ETCD_${flagName.toUpperCase().replaceAll("-", "_")}`;
}
