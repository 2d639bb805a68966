/** Lines that are not the program's own output: JSON on stderr, as etcd's client library logs. */
import { printErrorLine } from "./terminal.ts";

/** Logs one line. */
export function logLine(
  level: "info" | "warn" | "error" | "fatal",
  message: string,
  fields: Readonly<Record<string, unknown>>,
): void {
  const { logger, ...rest } = fields;
  const head = { level, ts: new Date().toISOString(), ...(logger !== undefined && { logger }), msg: message };
  printErrorLine(JSON.stringify({ ...head, ...rest }));
}
