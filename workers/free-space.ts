import { freeBytesIn } from "../src/storage/free-space.ts";

/** What stays free for the log when something is written that can be done without: its next segment, and some. */
const FREE_BYTES_MIN = 96 * 1024 * 1024;

/** Throws unless `neededBytes` for `what` can be written into `folder` without taking the room that the log needs. */
export function checkFreeSpace(folder: string, neededBytes: number, what: string): void {
  const freeBytes = freeBytesIn(folder);
  if (freeBytes >= neededBytes + FREE_BYTES_MIN) return;
  throw new Error(
    `no space left on device for ${what}: ${freeBytes} bytes are free, ${neededBytes + FREE_BYTES_MIN} are needed`,
  );
}
