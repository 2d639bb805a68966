/** Values that are too large for a leaf page: a run of overflow pages, of which only the first has a header. */
import type { PageFile } from "./page-file.ts";
import { PAGE_FLAG_OVERFLOW, PAGE_HEADER_BYTES, PAGE_OVERFLOW_PAGES } from "./page-layout.ts";
import { checkHeader, type PageClaim } from "./tree-page-check.ts";

/** Room kept between two reads: the largest request etcd allows by default (1.5 MiB) fits. What is larger is read into memory of its own. */
const KEPT_BYTES = 2 * 1024 * 1024;
const KEPT_BYTES_MIN = 64 * 1024;

/** Where a leaf node says that its value lies. */
export interface OverflowValue extends PageClaim {
  /** Pages of the run. */
  pages: number;
  /** Length of the value. */
  length: number;
}

export class OverflowReader {
  readonly #file: PageFile;
  #kept = new Uint8Array(0);

  constructor(file: PageFile) {
    this.#file = file;
  }

  /**
   * The value, with one read. Borrowed until the next call.
   * @throws DamagedPageError, or an error with the path when reading fails
   */
  read(value: OverflowValue): Uint8Array {
    const length = PAGE_HEADER_BYTES + value.length;
    if (length > value.pages * this.#file.pageBytes) {
      throw this.#file.damaged(
        value.pageNumber,
        `has ${value.pages} pages for a value of ${value.length} bytes`,
      );
    }
    const bytes = this.#room(value.pageNumber, length);
    if (this.#file.read(value.pageNumber, length, bytes) < length) throw this.#file.missing(value.pageNumber);
    const view = new DataView(bytes.buffer);
    checkHeader(this.#file, view, 0, PAGE_FLAG_OVERFLOW, value);
    const pages = view.getUint32(PAGE_OVERFLOW_PAGES, true);
    if (pages !== value.pages)
      throw this.#file.damaged(value.pageNumber, `has ${pages} pages, expected ${value.pages}`);
    return bytes.subarray(PAGE_HEADER_BYTES, length);
  }

  #room(pageNumber: number, length: number): Uint8Array {
    if (length <= this.#kept.length) return this.#kept;
    this.#file.assertInside(pageNumber, length); // before memory is taken for what only a damaged node may claim
    if (length > KEPT_BYTES) return new Uint8Array(length);
    this.#kept = new Uint8Array(Math.max(KEPT_BYTES_MIN, 2 ** Math.ceil(Math.log2(length))));
    return this.#kept;
  }
}
