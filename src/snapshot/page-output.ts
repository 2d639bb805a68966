/** Pages on their way into a new file, in ascending order: gathered in memory, written a megabyte at a time. */
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";

import { assert } from "../base/assert.ts";

/** One write call. Larger ones gain nothing measurable. */
const BUFFER_BYTES = 1024 * 1024;
/** Pages 0 and 1 are the meta pages, written last. */
const FIRST_PAGE = 2;

export class PageOutput {
  readonly pageBytes: number;
  /** Where {@link reserve} points into; both may change with each reserve. */
  bytes: Uint8Array;
  view: DataView;
  /** Id of the next page. */
  nextPage = FIRST_PAGE;
  readonly #fd: number;
  /** First page in the buffer, and bytes in it. */
  #bufferPage = FIRST_PAGE;
  #length = 0;
  #open = true;

  /** Creates the file, or empties it. @throws what the file system says */
  constructor(path: string, pageBytes: number) {
    this.#fd = openSync(path, "w", 0o600);
    this.pageBytes = pageBytes;
    this.bytes = new Uint8Array(Math.max(BUFFER_BYTES, pageBytes));
    this.view = new DataView(this.bytes.buffer);
  }

  /** Room for `pages` consecutive pages, the first with id {@link nextPage}: returns its offset in {@link bytes}. Not zeroed. */
  reserve(pages: number): number {
    const length = pages * this.pageBytes;
    if (this.#length + length > this.bytes.length) this.#flush();
    if (length > this.bytes.length) {
      this.bytes = new Uint8Array(length);
      this.view = new DataView(this.bytes.buffer);
    }
    const at = this.#length;
    this.#length += length;
    this.nextPage += pages;
    return at;
  }

  #flush(): void {
    this.#writeAll(this.bytes.subarray(0, this.#length), this.#bufferPage * this.pageBytes);
    this.#bufferPage = this.nextPage;
    this.#length = 0;
    if (this.bytes.length <= Math.max(BUFFER_BYTES, this.pageBytes)) return;
    // A value of hundreds of megabytes is rare: its room is given back.
    this.bytes = new Uint8Array(Math.max(BUFFER_BYTES, this.pageBytes));
    this.view = new DataView(this.bytes.buffer);
  }

  #writeAll(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, position + done);
    }
  }

  /** Writes what is left and the two meta pages, and closes the file. Returns its length. @throws what the file system says */
  finish(metaPages: readonly [Uint8Array, Uint8Array], options: { sync: boolean }): number {
    this.#flush();
    for (const [id, page] of metaPages.entries()) {
      assert(page.length === this.pageBytes, "length of a meta page", page.length, this.pageBytes);
      this.#writeAll(page, id * this.pageBytes);
    }
    if (options.sync) fsyncSync(this.#fd);
    this.close();
    return this.nextPage * this.pageBytes;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }
}
