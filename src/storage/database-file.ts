/**
 * Checks a database file before LMDB maps it. LMDB believes its file: a page that is missing behind a truncated end is
 * a SIGBUS in the middle of a read, and no handler in JavaScript can see that. So the file is measured against its own
 * meta pages first, and a file that does not hold what it says is refused, untouched, with what was expected and found.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

import { findPageBeyond } from "./lmdb-pages.ts";
import { PAGE_FLAG_META, PAGE_HEADER_BYTES } from "./page-layout.ts";

// The prefix of LMDB's `MDB_meta`, which lies behind the header of pages 0 and 1 (offsets from there).
const META_MAGIC = 0;
const META_VERSION = 4;
const META_PAGE_SIZE = 24; // md_pad of the free-page tree
const META_FREE_ROOT = 24 + 40;
const META_MAIN_ROOT = 72 + 40;
const META_LAST_PAGE = 120;
const META_TXN_ID = 128;
const META_BYTES = 144;

const LMDB_MAGIC = 0xbeefc0de;
/** The format of the LMDB this project links; the next one would be an upgrade to be written for. */
const LMDB_DATA_VERSION = 2;
const PAGE_BYTES_MIN = 256;
const PAGE_BYTES_MAX = 65536;
/** etcd's own engine puts this behind a 16-byte page header: a Go etcd's data directory was given to us. */
const BBOLT_MAGIC = 0xed0cdaed;

/** What a healthy database file says of itself. */
export interface DatabaseFile {
  readonly fileBytes: number;
  readonly pageBytes: number;
  /** Number of the last page that the newest commit knows. */
  readonly lastPage: number;
  /** LMDB's number of the newest commit. */
  readonly txnId: number;
}

/** A file that is not, or no longer, a whole database. The message names the file, what was expected and what is there. */
export class DatabaseFileError extends Error {
  override readonly name = "DatabaseFileError";
}

/**
 * Reads the meta pages of the database at `path` and checks that the file holds every page they refer to. Never writes.
 * Returns undefined when there is no file, or an empty one (LMDB was killed before its first write).
 * @throws DatabaseFileError for a foreign, damaged or truncated file; an error with the path for one that cannot be read
 */
export function checkDatabaseFile(path: string): DatabaseFile | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Error(`cannot open database file ${path}: ${(error as Error).message}`, { cause: error });
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new DatabaseFileError(`${path} is not a regular file`);
    if (stat.size === 0) return undefined;
    return checkPages(path, fd, stat.size);
  } finally {
    closeSync(fd);
  }
}

function checkPages(path: string, fd: number, fileBytes: number): DatabaseFile {
  const first = readMeta(path, fd, 0, fileBytes);
  const pageBytes = first.getUint32(META_PAGE_SIZE, true);
  if (pageBytes < PAGE_BYTES_MIN || pageBytes > PAGE_BYTES_MAX || (pageBytes & (pageBytes - 1)) !== 0) {
    throw new DatabaseFileError(
      `database file ${path} is damaged: page 0 gives a page size of ${pageBytes} bytes`,
    );
  }
  const second = readMeta(path, fd, pageBytes, fileBytes);
  const meta = readUint64(second, META_TXN_ID) > readUint64(first, META_TXN_ID) ? second : first;
  const lastPage = readUint64(meta, META_LAST_PAGE);
  const expectedBytes = (lastPage + 1) * pageBytes;
  if (fileBytes < expectedBytes) {
    // LMDB may leave out pages at the very end that were allocated and freed again in one commit. Nothing refers to those.
    const filePages = Math.floor(fileBytes / pageBytes);
    const roots = [readRoot(meta, META_FREE_ROOT), readRoot(meta, META_MAIN_ROOT)];
    const missing = findPageBeyond({ fd, pageBytes, filePages, roots });
    if (missing !== undefined) {
      throw new DatabaseFileError(
        `database file ${path} is truncated: expected ${expectedBytes} bytes, found ${fileBytes} ` +
          `(page ${missing} is in use and lies behind the end of the file)`,
      );
    }
  }
  return { fileBytes, pageBytes, lastPage, txnId: readUint64(meta, META_TXN_ID) };
}

/** The meta structure of the page at `offset`, checked for magic and version. */
function readMeta(path: string, fd: number, offset: number, fileBytes: number): DataView {
  const page = Buffer.alloc(PAGE_HEADER_BYTES + META_BYTES);
  const length = readSync(fd, page, 0, page.length, offset);
  const view = new DataView(page.buffer, page.byteOffset + PAGE_HEADER_BYTES);
  const pageNumber = offset === 0 ? 0 : 1;
  if (length >= 20 && page.readUInt32LE(16) === BBOLT_MAGIC) {
    throw new DatabaseFileError(
      `database file ${path} was written by a Go etcd (bbolt format), expected an LMDB file; ` +
        `take a snapshot of that member and restore it here`,
    );
  }
  const isOurs = length >= PAGE_HEADER_BYTES + 4 && view.getUint32(META_MAGIC, true) === LMDB_MAGIC;
  if (length < page.length && (offset !== 0 || isOurs)) {
    throw new DatabaseFileError(
      `database file ${path} is truncated: expected at least ${offset + page.length} bytes (meta page ${pageNumber}), ` +
        `found ${fileBytes}`,
    );
  }
  if (!isOurs) {
    throw new DatabaseFileError(
      `${path} is not a database file: expected magic ${LMDB_MAGIC.toString(16)} in page ${pageNumber}, found ` +
        (length >= PAGE_HEADER_BYTES + 4
          ? view.getUint32(META_MAGIC, true).toString(16)
          : `only ${length} bytes`),
    );
  }
  if ((page.readUInt16LE(18) & PAGE_FLAG_META) === 0) {
    throw new DatabaseFileError(
      `database file ${path} is damaged: page ${pageNumber} is not marked as a meta page`,
    );
  }
  const version = view.getUint32(META_VERSION, true) & 0xffff;
  if (version !== LMDB_DATA_VERSION) {
    throw new DatabaseFileError(
      `database file ${path} has format version ${version}, expected ${LMDB_DATA_VERSION} (page ${pageNumber})`,
    );
  }
  return view;
}

function readUint64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 0x1_0000_0000 + view.getUint32(offset, true);
}

/** Page number of a tree's root, or -1 for an empty tree. */
function readRoot(view: DataView, offset: number): number {
  return view.getBigUint64(offset, true) === 0xffff_ffff_ffff_ffffn ? -1 : readUint64(view, offset);
}
