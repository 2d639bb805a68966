/** A line for the log, from a time when there is no logger yet. */
export interface LogLine {
  readonly level: "info" | "warn" | "fatal";
  readonly msg: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}
