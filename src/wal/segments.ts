/** The files of a log, by their names alone. */

import * as path from "node:path";
import { nodeFileSystem } from "./node-file-system.ts";
import type { WalFileSystem } from "./wal-file-system.ts";
import { parseSegmentName } from "./wal-format.ts";

export interface Segment {
  readonly sequence: number;
  /** The first entry index the segment may contain. */
  readonly firstIndex: number;
  readonly path: string;
}

/** Segments in a directory, ascending by sequence; all of them, gaps included. */
export function listSegments(fileSystem: WalFileSystem, directory: string): Segment[] {
  const segments: Segment[] = [];
  for (const name of fileSystem.list(directory)) {
    const parts = parseSegmentName(name);
    if (parts !== null) segments.push({ ...parts, path: path.join(directory, name) });
  }
  return segments.toSorted((a, b) => a.sequence - b.sequence);
}

/** True if the directory holds a WAL. */
export function walExists(directory: string, fileSystem: WalFileSystem = nodeFileSystem): boolean {
  return listSegments(fileSystem, directory).length > 0;
}
