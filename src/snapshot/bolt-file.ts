/**
 * A database file of etcd's format, opened for reading: which of its two meta pages counts, and its pages by number. Nothing in
 * it is believed before it was checked: the file may come from anywhere.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync } from "node:fs";

import {
  type BoltMeta,
  decodeMetaPage,
  META_PAGE_BYTES_USED,
  PAGE_BYTES_MAX,
  PAGE_BYTES_MIN,
} from "./bolt-format.ts";
import { readAt } from "../storage/read-at.ts";
import { describeFileError, SnapshotFileError } from "./snapshot-file-error.ts";

/** What `snapshot save` puts behind the database: its SHA-256. */
const TRAILER_BYTES = 32;
/** No database ends so: its pages are multiples of it. */
const TRAILER_MODULUS = 512;
const HASH_CHUNK_BYTES = 1024 * 1024;

export class BoltFile {
  readonly path: string;
  readonly meta: BoltMeta;
  /** Length without a trailer. */
  readonly databaseBytes: number;
  /** The file ends with the SHA-256 of all before it. */
  readonly hasTrailer: boolean;
  readonly #fd: number;
  #open = true;

  /**
   * Opens the file and checks its meta pages and its length.
   * @throws SnapshotFileError when it is no whole database; an error with the path when it cannot be read
   */
  constructor(path: string) {
    this.path = path;
    try {
      this.#fd = openSync(path, "r");
    } catch (error) {
      throw describeFileError(path, "cannot open", error);
    }
    try {
      const fileBytes = fstatSync(this.#fd).size;
      this.hasTrailer = fileBytes % TRAILER_MODULUS === TRAILER_BYTES;
      this.databaseBytes = this.hasTrailer ? fileBytes - TRAILER_BYTES : fileBytes;
      this.meta = this.#readMeta();
      this.#checkLength();
    } catch (error) {
      this.close();
      throw describeFileError(path, "cannot read", error);
    }
  }

  /**
   * Compares the SHA-256 behind the database with its bytes. Reads the whole file.
   * @param onProgress told of the bytes of each part that was read
   * @throws SnapshotFileError when they differ, or when there is no trailer
   */
  verifyTrailer(onProgress?: (bytes: number) => void): void {
    if (!this.hasTrailer) throw this.error("has no SHA-256 behind the database");
    const hash = createHash("sha256");
    const chunk = new Uint8Array(HASH_CHUNK_BYTES);
    for (let at = 0; at < this.databaseBytes;) {
      const length = Math.min(chunk.length, this.databaseBytes - at);
      this.read(at, chunk, length);
      hash.update(chunk.subarray(0, length));
      at += length;
      onProgress?.(length);
    }
    const trailer = Buffer.alloc(TRAILER_BYTES);
    this.read(this.databaseBytes, trailer, TRAILER_BYTES);
    const actual = hash.digest();
    if (actual.equals(trailer)) return;
    // Begins as etcd's message, which prints the bytes as decimal numbers.
    const hashes = `expected sha256 ${trailer.toString("hex")}, got ${actual.toString("hex")}`;
    throw new SnapshotFileError(`${hashes}: snapshot file ${this.path}`);
  }

  /** Reads `length` bytes at `position` to `target[0, length)`. @throws SnapshotFileError when the file ends before */
  read(position: number, target: Uint8Array, length: number): void {
    let done = 0;
    try {
      done = readAt(this.#fd, target, length, position);
    } catch (error) {
      throw describeFileError(this.path, `cannot read offset ${position} of`, error);
    }
    if (done < length)
      throw this.error(`ends at offset ${position + done}, expected ${length - done} bytes more`);
  }

  error(what: string): SnapshotFileError {
    return new SnapshotFileError(`snapshot file ${this.path} ${what}`);
  }

  /** An error about a page. */
  pageError(page: number, what: string): SnapshotFileError {
    return this.error(`is damaged: page ${page} (offset ${page * this.meta.pageBytes}) ${what}`);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }

  /** The valid meta page with the higher transaction number. */
  #readMeta(): BoltMeta {
    const first = this.#tryMeta(0);
    const second = typeof first === "string" ? this.#findSecondMeta() : this.#tryMeta(first.pageBytes);
    if (typeof second !== "string") {
      return typeof first === "string" || second.txid > first.txid ? second : first;
    }
    if (typeof first !== "string") return first;
    throw this.error(`is not a database of etcd, or damaged: page 0 has ${first}, page 1 has ${second}`);
  }

  /** Without page 0 nothing says where page 1 is. */
  #findSecondMeta(): BoltMeta | string {
    for (let pageBytes = PAGE_BYTES_MIN; pageBytes <= PAGE_BYTES_MAX; pageBytes *= 2) {
      const found = this.#tryMeta(pageBytes);
      if (typeof found !== "string" && found.pageBytes === pageBytes) return found;
    }
    return "no meta page either";
  }

  #tryMeta(position: number): BoltMeta | string {
    if (position + META_PAGE_BYTES_USED > this.databaseBytes)
      return `only ${this.databaseBytes} bytes of file`;
    const page = new Uint8Array(META_PAGE_BYTES_USED);
    this.read(position, page, page.length);
    return decodeMetaPage(page);
  }

  #checkLength(): void {
    const { highWater, pageBytes } = this.meta;
    const expectedBytes = highWater * pageBytes;
    if (highWater < 2 || expectedBytes > this.databaseBytes) {
      throw this.error(
        `is truncated: its ${highWater} pages take ${expectedBytes} bytes, there are ${this.databaseBytes}`,
      );
    }
  }
}
