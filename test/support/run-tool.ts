/** Runs a command-line program to its end. */
import { spawn } from "node:child_process";

// A tool that takes longer hangs, unless its caller knows better.
const TOOL_MS = 30_000;

/** What a program printed and how it ended. */
export interface ToolResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program with arguments; `input` goes to its standard input. Never rejects because of an exit code. */
export function runTool(
  file: string,
  args: readonly string[],
  options: { input?: string; env?: Readonly<Record<string, string>>; timeoutMs?: number } = {},
): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    const { env, timeoutMs: timeout = TOOL_MS } = options;
    const child = spawn(file, args, { env: { ...process.env, ...env }, timeout });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    // A tool that reads nothing may have ended before.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
  });
}
