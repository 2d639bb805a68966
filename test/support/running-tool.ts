/** A command-line program that goes on: what it prints is waited for, and it ends when the test says so. */
import { spawn, type ChildProcess } from "node:child_process";
import type { Cleanup } from "./temp-dir.ts";
import { waitFor } from "./wait.ts";

// A loaded machine may need seconds to start a program.
const OUTPUT_MS = 15_000;

/** A running program; killed when the test ends. */
export class RunningTool {
  readonly #process: ChildProcess;
  readonly #closed: Promise<number | null>;
  #stdout = "";
  #stderr = "";

  constructor(t: Cleanup, file: string, args: readonly string[]) {
    this.#process = spawn(file, args);
    this.#process.stdout?.setEncoding("utf8").on("data", (text: string) => (this.#stdout += text));
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => (this.#stderr += text));
    this.#closed = new Promise((resolve, reject) => {
      this.#process.once("error", reject);
      this.#process.once("close", resolve);
    });
    t.after(async () => {
      this.#process.kill("SIGKILL");
      await this.#closed;
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Resolves when stdout has matched. */
  async prints(pattern: RegExp): Promise<void> {
    await waitFor(`${pattern} in ${this.#process.spawnargs.join(" ")}`, OUTPUT_MS, () =>
      pattern.test(this.#stdout) ? true : undefined,
    );
  }

  write(text: string): void {
    this.#process.stdin?.write(text);
  }

  /** Ctrl-C. Resolves with the exit code. */
  async interrupt(): Promise<number | null> {
    this.#process.kill("SIGINT");
    return this.#closed;
  }

  /** Resolves with the exit code, when it ends by itself. */
  async ended(): Promise<number | null> {
    return this.#closed;
  }
}
