/** Finds its way in etcd's WAL files, to damage them at a chosen place. Knows frames only (spec: u64 LE length, 8-byte aligned). */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const FRAME_HEADER_BYTES = 8;

/** One frame: `[start, end)` in its file, header and padding included. */
export interface WalFrame {
  readonly start: number;
  readonly end: number;
}

/** Paths of the WAL's segments, oldest first. */
export function walSegments(dataDir: string): string[] {
  const folder = join(dataDir, "member/wal");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".wal"))
    .sort()
    .map((name) => join(folder, name));
}

/** All frames of a segment, up to the zeros behind the last one. */
export function walFrames(path: string): WalFrame[] {
  const bytes = readFileSync(path);
  const frames: WalFrame[] = [];
  let start = 0;
  while (start + FRAME_HEADER_BYTES <= bytes.length) {
    const length = bytes.readUIntLE(start, 6);
    if (length === 0) break;
    const marks = bytes[start + 7];
    const end = start + FRAME_HEADER_BYTES + length + (marks & 0x80 ? marks & 0x07 : 0);
    frames.push({ start, end });
    start = end;
  }
  return frames;
}
