/**
 * The database file as numbered pages, read with pread into buffers of ours. LMDB's memory map would do the same without
 * a system call, but every page touched through a map counts as memory of this process, and reading all of a database
 * made it as large as the database. The page cache under both is the same one, so both see the same bytes.
 */
import { closeSync, fstatSync, openSync } from "node:fs";

import { describeError } from "./io-error.ts";
import { readAt } from "./read-at.ts";

/** A page that is not what the tree says it is. The message names the file, the page and what was found. */
export class DamagedPageError extends Error {
  override readonly name = "DamagedPageError";
}

export class PageFile {
  readonly path: string;
  readonly pageBytes: number;
  #fd: number;

  /** @throws with the path and the cause when the file cannot be opened */
  constructor(path: string, pageBytes: number) {
    this.path = path;
    this.pageBytes = pageBytes;
    try {
      this.#fd = openSync(path, "r");
    } catch (error) {
      throw describeError(path, "cannot open the database file", error);
    }
  }

  /**
   * Reads `length` bytes from the start of page `pageNumber` on to `target[0, length)`. Returns how many there are: fewer only
   * where the file ends, and never less than a page or `length`.
   * @throws DamagedPageError when the page does not lie inside the file; an error with the path when reading fails
   */
  read(pageNumber: number, length: number, target: Uint8Array): number {
    const position = pageNumber * this.pageBytes;
    if (position + length > Number.MAX_SAFE_INTEGER) throw this.missing(pageNumber);
    let done = 0;
    try {
      done = readAt(this.#fd, target, length, position);
    } catch (error) {
      throw describeError(this.path, `cannot read page ${pageNumber} of database file`, error);
    }
    if (done < length && done < this.pageBytes) throw this.missing(pageNumber);
    return done;
  }

  /** @throws DamagedPageError unless `length` bytes from the start of the page on lie inside the file */
  assertInside(pageNumber: number, length: number): void {
    if (pageNumber * this.pageBytes + length > fstatSync(this.#fd).size) throw this.missing(pageNumber);
  }

  damaged(pageNumber: number, what: string): DamagedPageError {
    return new DamagedPageError(`database file ${this.path} is damaged: page ${pageNumber} ${what}`);
  }

  missing(pageNumber: number): DamagedPageError {
    return this.damaged(pageNumber, "is in use and lies behind the end of the file");
  }

  close(): void {
    if (this.#fd === -1) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }
}
