/** `/debug/vars`: values for people who look into a running member, in the form of Go's expvar. */
import type { IncomingMessage, ServerResponse } from "node:http";

import { readOpenFilesLimit } from "../../telemetry/process-metrics.ts";
import { allowGet, sendText } from "./responses.ts";

/** Answers `/debug/vars`. */
export function serveDebugVars(
  deps: { raftStatus(): unknown },
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (!allowGet(request, response)) return;
  const vars = {
    cmdline: process.argv,
    file_descriptor_limit: readOpenFilesLimit(),
    memstats: process.memoryUsage(),
    "raft.status": deps.raftStatus(),
  };
  const lines = Object.entries(vars).map(([name, value]) => `${JSON.stringify(name)}: ${toJson(value)}`);
  sendText(response, 200, `{\n${lines.join(",\n")}\n}\n`, "application/json; charset=utf-8");
}

/** IDs are printed in hex, as everywhere else. */
function toJson(value: unknown): string {
  const replace = (_key: string, item: unknown): unknown => {
    return typeof item === "bigint" ? item.toString(16) : item;
  };
  return JSON.stringify(value, replace) ?? "null";
}
