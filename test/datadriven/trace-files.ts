import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** The trace files under `path`, or the file itself; names in order. Hidden files, editors' leftovers and *.md are none. */
export function traceFiles(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .filter((name) => !/^[.#]|~$|\.md$/.test(name))
    .sort()
    .flatMap((name) => traceFiles(join(path, name)));
}
