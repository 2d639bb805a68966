/**
 * The one table of all flags of `etcd`, and what follows from it by types alone: the {@link Config}. Command line, environment,
 * configuration file, help text and validation all read this table; a flag is added here and nowhere else.
 *
 * Read next: `config.ts` (how the sources are put together), `flag-values.ts` (how a text becomes a value).
 */
import type { FlagRow, FlagValues } from "./flag-row.ts";
import { CLUSTERING_FLAGS } from "./flags-clustering.ts";
import { EXPERIMENTAL_FLAGS, TRACING_FLAGS } from "./flags-experimental.ts";
import { MEMBER_FLAGS } from "./flags-member.ts";
import { SECURITY_FLAGS } from "./flags-security.ts";
import { AUTH_FLAGS, CONCORD_FLAGS, LOGGING_FLAGS, MONITORING_FLAGS, UNSAFE_FLAGS } from "./flags-server.ts";

/** The sections of `--help`, in its order. */
export const FLAG_SECTIONS = [
  { title: "Member", flags: MEMBER_FLAGS },
  { title: "Clustering", flags: CLUSTERING_FLAGS },
  { title: "Security", flags: SECURITY_FLAGS },
  { title: "Auth", flags: AUTH_FLAGS },
  { title: "Profiling and Monitoring", flags: MONITORING_FLAGS },
  { title: "Logging", flags: LOGGING_FLAGS },
  { title: "Experimental distributed tracing", flags: TRACING_FLAGS },
  { title: "Experimental feature", flags: EXPERIMENTAL_FLAGS },
  { title: "Unsafe feature", flags: UNSAFE_FLAGS },
  { title: "Concord", flags: CONCORD_FLAGS },
] as const;

type Row = (typeof FLAG_SECTIONS)[number]["flags"][number];
type RowWithField = Extract<Row, { field: string }>;

/** A choice flag's value is one of its choices; the others have their type's value. */
type ValueOfRow<R> = R extends { type: "choice"; choices: readonly (infer C)[] }
  ? C
  : R extends { type: infer T extends keyof FlagValues }
    ? FlagValues[T]
    : never;

/** The value of every flag that has a field, by field. */
export type FlagConfig = { readonly [R in RowWithField as R["field"]]: ValueOfRow<R> };

/** All rows. */
export const FLAGS: readonly FlagRow[] = FLAG_SECTIONS.flatMap(
  (section): readonly FlagRow[] => section.flags,
);

/** Rows by flag name. */
export const FLAG_BY_NAME: ReadonlyMap<string, FlagRow> = new Map(FLAGS.map((row) => [row.name, row]));

/** Flags of etcd's past: accepted with or without a value, and ignored. */
export const IGNORED_FLAGS: ReadonlySet<string> = new Set([
  "cluster-active-size",
  "cluster-remove-delay",
  "cluster-sync-interval",
  "config",
  "force",
  "max-result-buffer",
  "max-retry-attempts",
  "peer-heartbeat-interval",
  "peer-election-timeout",
  "retry-interval",
  "snapshot",
  "v",
  "vv",
  "test.coverprofile",
  "test.outputdir",
]);
