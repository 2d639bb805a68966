/** The pages of a file that were read last, a page at a time where they are scattered, up to a megabyte where they follow each other. */
import type { BoltFile } from "./bolt-file.ts";
import { PAGE_FLAG_BRANCH, PAGE_FLAG_LEAF, PAGE_HEADER_BYTES, readPageHeader } from "./bolt-format.ts";

const WINDOW_BYTES = 1024 * 1024;

/** A page in the window, checked as far as its header goes. */
export interface WindowPage {
  readonly id: number;
  readonly flags: number;
  readonly count: number;
  /** Where it lies in the window: `bytes[start, end)`, overflow pages included. */
  readonly start: number;
  readonly end: number;
}

export class PageWindow {
  /** Overwritten, or replaced, by the next {@link load}. */
  bytes: Uint8Array;
  view: DataView;
  readonly #file: BoltFile;
  readonly #pageBytes: number;
  #firstPage = 0;
  #pages = 0;
  /** Pages to read at once: doubles while they are asked for in order. */
  #ahead = 1;

  constructor(file: BoltFile) {
    this.#file = file;
    this.#pageBytes = file.meta.pageBytes;
    this.bytes = new Uint8Array(Math.max(WINDOW_BYTES, this.#pageBytes));
    this.view = new DataView(this.bytes.buffer);
  }

  /** Brings page `id` into the window, with its overflow pages. @throws SnapshotFileError unless it is a branch or leaf page */
  load(id: number): WindowPage {
    const { highWater } = this.#file.meta;
    if (id < 2 || id >= highWater)
      throw this.#file.error(`is damaged: it refers to page ${id} of ${highWater}`);
    if (!this.#holds(id, 1)) this.#read(id, this.#pagesAhead(id));
    const header = readPageHeader(this.view, this.#at(id));
    if (header.id !== id) throw this.#file.pageError(id, `says that it is page ${header.id}`);
    if (header.flags !== PAGE_FLAG_BRANCH && header.flags !== PAGE_FLAG_LEAF) {
      throw this.#file.pageError(id, `has flags 0x${header.flags.toString(16)}, expected a branch or a leaf`);
    }
    const pages = header.overflow + 1;
    if (id + pages > highWater)
      throw this.#file.pageError(id, `has ${header.overflow} overflow pages, the last behind the end`);
    if (!this.#holds(id, pages)) this.#read(id, pages);
    const start = this.#at(id);
    const end = start + pages * this.#pageBytes;
    if (start + PAGE_HEADER_BYTES + header.count * 16 > end) {
      throw this.#file.pageError(id, `has ${header.count} elements, more than fit`);
    }
    return { id, flags: header.flags, count: header.count, start, end };
  }

  #holds(id: number, pages: number): boolean {
    return id >= this.#firstPage && id + pages <= this.#firstPage + this.#pages;
  }

  #at(id: number): number {
    return (id - this.#firstPage) * this.#pageBytes;
  }

  #pagesAhead(id: number): number {
    const isNext = id === this.#firstPage + this.#pages;
    this.#ahead = isNext ? Math.min(this.#ahead * 2, Math.floor(this.bytes.length / this.#pageBytes)) : 1;
    return Math.min(this.#ahead, this.#file.meta.highWater - id);
  }

  #read(id: number, pages: number): void {
    const length = pages * this.#pageBytes;
    const usual = Math.max(WINDOW_BYTES, this.#pageBytes);
    const needed = Math.max(length, usual);
    // Room for one very large value is given back with the next page.
    if (this.bytes.length !== needed) {
      this.bytes = new Uint8Array(needed);
      this.view = new DataView(this.bytes.buffer);
    }
    this.#pages = 0;
    this.#file.read(id * this.#pageBytes, this.bytes, length);
    this.#firstPage = id;
    this.#pages = pages;
  }
}
