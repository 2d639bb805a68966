/** Programs that a command runs, in the words of Go's os/exec for how they ended. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { goQuote } from "./go-quote.ts";
import { flush } from "./terminal.ts";

/** A program that failed, or could not be started. */
export interface ChildFailure {
  /** `exit status 3`, `signal: killed`, `exec: "x": executable file not found in $PATH` */
  readonly message: string;
  /** What a shell would get: 255 after a signal, 1 if it was not started. */
  readonly exitCode: number;
}

/** Runs a program with our output as its own, and nothing to read. Resolves when it has ended; undefined = well. */
export function runChild(
  [file, ...args]: readonly [string, ...string[]],
  environment: Readonly<Record<string, string>>,
): Promise<ChildFailure | undefined> {
  flush();
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, ...environment },
    });
    child.once("error", (error: NodeJS.ErrnoException) =>
      resolve({ message: startProblem(file, error), exitCode: 1 }),
    );
    child.once("close", (code, signal) => {
      if (signal !== null) resolve({ message: `signal: ${signalText(signal)}`, exitCode: 255 });
      else resolve(code === 0 ? undefined : { message: `exit status ${code}`, exitCode: code ?? 1 });
    });
  });
}

function startProblem(file: string, error: NodeJS.ErrnoException): string {
  const reason =
    error.code === "ENOENT"
      ? "no such file or directory"
      : error.code === "EACCES"
        ? "permission denied"
        : String(error.code);
  if (file.includes("/")) return `fork/exec ${file}: ${reason}`;
  if (error.code === "ENOENT") return `exec: ${goQuote(file)}: executable file not found in $PATH`;
  return `exec: ${goQuote(file)}: ${reason}`;
}

/** The system's names for the signals that programs mostly end by. */
function signalText(signal: NodeJS.Signals): string {
  const names: Partial<Record<NodeJS.Signals, string>> = {
    SIGHUP: "hangup",
    SIGINT: "interrupt",
    SIGQUIT: "quit",
    SIGABRT: "aborted",
    SIGKILL: "killed",
    SIGSEGV: "segmentation fault",
    SIGPIPE: "broken pipe",
    SIGALRM: "alarm clock",
    SIGTERM: "terminated",
  };
  return names[signal] ?? `signal ${constants.signals[signal]}`;
}
