/** Where scenarios leave what they have found. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { PROJECT_ROOT } from "../../test/support/binaries.ts";

/** Not kept by git. */
const FOLDER = join(PROJECT_ROOT, "load-tests/results/tmp");

/** Files of one run, which share a name. */
export class Results {
  readonly #name: string;

  constructor(scenario: string, startedAt = new Date()) {
    mkdirSync(FOLDER, { recursive: true });
    this.#name = `${scenario}-${startedAt.toISOString().slice(0, 19).replaceAll(":", "")}`;
  }

  path(extension: string): string {
    return join(FOLDER, `${this.#name}.${extension}`);
  }

  /** Writes a file. Returns its path from the project's root. */
  write(extension: string, text: string): string {
    writeFileSync(this.path(extension), text);
    return `load-tests/results/tmp/${this.#name}.${extension}`;
  }

  /** The findings with what is needed to judge and repeat them. */
  writeJson(findings: object): string {
    return this.write("json", `${JSON.stringify({ ...circumstances(), ...findings }, undefined, 2)}\n`);
  }
}

/** Command, commit and machine of this run. */
export function circumstances() {
  return {
    command: `npm run load -- ${process.argv
      .slice(2)
      .map((word) => word.replace(/^.*\//, ""))
      .join(" ")}`,
    commit: execFileSync("git", ["-C", PROJECT_ROOT, "rev-parse", "--short", "HEAD"], {
      encoding: "utf8",
    }).trim(),
    machine: `${cpus().length} cores, ${Math.round(totalmem() / 1e9)} GB, ${process.platform}, Node ${process.version}`,
  };
}

/** Columns of equal width; all but the first are right-aligned. */
export function textTable(rows: ReadonlyArray<readonly string[]>): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]);
  return rows.map((cells) => cells.map(pad).join("  ").trimEnd()).join("\n");
}

/** Undoes what a run has set up, the last first, whatever its outcome. */
export async function withCleanup<T>(
  work: (cleanup: { after(fn: () => unknown): void }) => Promise<T>,
): Promise<T> {
  const undo: Array<() => unknown> = [];
  try {
    return await work({ after: (fn) => undo.push(fn) });
  } finally {
    for (const fn of undo.reverse()) await fn();
  }
}
