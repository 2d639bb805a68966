import { closeSync, fsyncSync, openSync } from "node:fs";

/** fsync of a directory, so that a rename or a new file in it survives a power cut. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
