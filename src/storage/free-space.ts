/** How much the file system of a folder still takes. */
import { statfsSync } from "node:fs";

/**
 * Bytes that may still be written into `folder`. Infinity where the file system does not say: one in user space or on a network may report
 * a size of 0 blocks, and it is not full for that.
 */
export function freeBytesIn(folder: string): number {
  const { blocks, bavail, bsize } = statfsSync(folder);
  return blocks === 0 ? Infinity : bavail * bsize;
}
