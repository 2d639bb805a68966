/** What belongs to every finding: by which command, of which commit, on which machine. */
import { execFileSync } from "node:child_process";
import { cpus, totalmem } from "node:os";
import { PROJECT_ROOT } from "../test/support/binaries.ts";
import type { Cleanup } from "../test/support/temp-dir.ts";

export interface Circumstances {
  readonly command: string;
  readonly commit: string;
  readonly machine: string;
}

/** Of this process, which is `npm run <script>`. Folders of what the command names are left out. */
export function circumstances(script: string): Circumstances {
  const words = process.argv.slice(2).map((word) => word.replace(/^.*\//, ""));
  const git = ["-C", PROJECT_ROOT, "rev-parse", "--short", "HEAD"];
  return {
    command: `npm run ${script} -- ${words.join(" ")}`,
    commit: execFileSync("git", git, { encoding: "utf8" }).trim(),
    machine: `${cpus().length} cores, ${Math.round(totalmem() / 1e9)} GB, ${process.platform}, Node ${process.version}`,
  };
}

/** Undoes what a run has set up, the last first, whatever its outcome. */
export async function withCleanup<T>(work: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const undo: Array<() => unknown> = [];
  try {
    return await work({ after: (fn) => undo.push(fn) });
  } finally {
    for (const fn of undo.reverse()) await fn();
  }
}
