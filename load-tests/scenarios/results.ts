/** Where scenarios leave what they have found. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT_ROOT } from "../../test/support/binaries.ts";
import { circumstances } from "../circumstances.ts";

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
    return this.write("json", `${JSON.stringify({ ...circumstances("load"), ...findings }, undefined, 2)}\n`);
  }
}

/** Columns of equal width; all but the first are right-aligned. */
export function textTable(rows: ReadonlyArray<readonly string[]>): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]);
  return rows.map((cells) => cells.map(pad).join("  ").trimEnd()).join("\n");
}
