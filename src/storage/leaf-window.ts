/** The leaf pages read last: a single one by a lookup, several that lie side by side in the file by a walk in key order. */
import type { PageFile } from "./page-file.ts";

/** What a walk reads at once. 32 pages cost 15 us, so the system call (0.7 us) no longer counts; more would only cost memory. */
const WINDOW_BYTES = 128 * 1024;

export class LeafWindow {
  /** Most pages that {@link read} takes. */
  readonly pagesMax: number;
  /** Reused for every read: what was borrowed from it changes then. */
  readonly bytes: Uint8Array;
  /** Over {@link bytes}. */
  readonly view: DataView;
  readonly #file: PageFile;
  #first = -1;
  #count = 0;
  #stamp = 0;

  constructor(file: PageFile) {
    this.#file = file;
    this.pagesMax = Math.max(1, Math.floor(WINDOW_BYTES / file.pageBytes));
    this.bytes = new Uint8Array(this.pagesMax * file.pageBytes);
    this.view = new DataView(this.bytes.buffer);
  }

  /**
   * Where in {@link bytes} the page lies; -1 when it was not read under this stamp. Every page around a leaf was read with it,
   * also pages that were not in use then; those of the tree under the same stamp were, so their bytes are the right ones.
   */
  find(pageNumber: number, stamp: number): number {
    const index = pageNumber - this.#first;
    if (index < 0 || index >= this.#count || stamp !== this.#stamp) return -1;
    return index * this.#file.pageBytes;
  }

  /** Reads `count` pages from `pageNumber` on (fewer where the file ends); the first one lies at 0. The snapshot must be pinned. */
  read(pageNumber: number, count: number, stamp: number): number {
    this.#count = 0;
    const length = this.#file.read(pageNumber, count * this.#file.pageBytes, this.bytes);
    this.#first = pageNumber;
    this.#count = Math.floor(length / this.#file.pageBytes);
    this.#stamp = stamp;
    return 0;
  }
}
