import { readSync } from "node:fs";

/** Reads up to `length` bytes of the file at `position` to `target[0, length)`; returns how many there are, fewer only at its end. */
export function readAt(fd: number, target: Uint8Array, length: number, position: number): number {
  let done = 0;
  while (done < length) {
    const count = readSync(fd, target, done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}
