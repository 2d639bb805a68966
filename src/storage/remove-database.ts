import { rmSync } from "node:fs";

/** Deletes a database and its table of readers, if they are there. */
export function removeDatabase(path: string): void {
  rmSync(path, { force: true });
  rmSync(`${path}-lock`, { force: true });
}
