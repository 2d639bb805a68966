/** Lines about what a command does, on stderr: time, level, message and fields, with tabs between them. */
import { printErrorLine } from "../common/terminal.ts";

/** Logs one line. */
export function consoleLog(
  level: "info" | "warn",
  message: string,
  fields: Readonly<Record<string, unknown>> = {},
): void {
  const ts = new Date().toISOString().replace(/\.\d+/, "");
  printErrorLine([ts, level, message, JSON.stringify(fields)].join("\t"));
}
