/** Where a log line was written, in the words of the sources, also where built files run. */
import { readFileSync } from "node:fs";
import type { CallSiteObject } from "node:util";

/** `line:column` in a built file to `folder/file.ts:line`, for calls of log functions. */
export type CallersTable = Readonly<Record<string, string>>;

/** The build writes a table beside each file that logs; in its name behind the file's own. */
export const CALLERS_SUFFIX = ".callers.json";

const tables = new Map<string, CallersTable>();

/** `folder/file.ts:line` of the source; of a built file that has no table `folder/file.js:line`. */
export function describeCaller({ scriptName, lineNumber, columnNumber }: CallSiteObject): string {
  const known = scriptName.endsWith(".js") ? tableOf(scriptName)[`${lineNumber}:${columnNumber}`] : undefined;
  return known ?? `${scriptName.split(/[/\\]/).slice(-2).join("/")}:${lineNumber}`;
}

function tableOf(scriptName: string): CallersTable {
  let table = tables.get(scriptName);
  if (table === undefined) tables.set(scriptName, (table = readTable(scriptName + CALLERS_SUFFIX)));
  return table;
}

function readTable(name: string): CallersTable {
  try {
    const text = readFileSync(name.startsWith("file:") ? new URL(name) : name, "utf8");
    return JSON.parse(text) as CallersTable;
  } catch {
    return {};
  }
}
