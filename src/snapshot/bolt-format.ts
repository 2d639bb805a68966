/**
 * The bytes of etcd's database file (bbolt, format version 2), as writer and reader share them. All integers are little-endian.
 *
 * ```
 *   page 0, 1   meta: the newer valid one counts          page header: u64 id, u16 flags, u16 count, u32 overflow
 *   page 2 ...  branch and leaf pages of all trees         leaf element:   u32 flags, u32 pos, u32 key bytes, u32 value bytes
 *               (an element too large for a page:          branch element: u32 pos, u32 key bytes, u64 child page
 *                `overflow` pages follow without header)   pos counts from the element's own first byte
 * ```
 */

/** What we write; files of others may have any power of two from PAGE_BYTES_MIN to PAGE_BYTES_MAX. */
export const PAGE_BYTES = 4096;
export const PAGE_BYTES_MIN = 1024;
export const PAGE_BYTES_MAX = 16 * 1024 * 1024;

export const PAGE_HEADER_BYTES = 16;
export const ELEMENT_BYTES = 16;
/** Elements of one page: their number is a u16, of which bbolt keeps the highest value for itself. */
export const ELEMENTS_MAX = 0xfffe;
export const KEY_BYTES_MAX = 32768;
/** Root page and sequence, in front of an inline bucket's page image. */
export const BUCKET_HEADER_BYTES = 16;

export const PAGE_FLAG_BRANCH = 0x01;
export const PAGE_FLAG_LEAF = 0x02;
const PAGE_FLAG_META = 0x04;
/** On a leaf element: the value describes a bucket. */
export const ELEMENT_FLAG_BUCKET = 0x01;

const MAGIC = 0xed0cdaed;
const VERSION = 2;
const META_AT = PAGE_HEADER_BYTES;
const META_CHECKED_BYTES = 56;
export const META_PAGE_BYTES_USED = META_AT + META_CHECKED_BYTES + 8;
const NO_FREELIST = 0xffff_ffff_ffff_ffffn;

const FNV_BASIS = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** What a meta page says. */
export interface BoltMeta {
  readonly pageBytes: number;
  /** Page of the root bucket's tree. */
  readonly root: number;
  /** First page id that is not in use: everything lies below. */
  readonly highWater: number;
  readonly txid: bigint;
}

/** Checksum of a meta page: FNV-1a, 64 bit. */
function fnv1a64(bytes: Uint8Array): bigint {
  let hash = FNV_BASIS;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  return hash;
}

/** A whole meta page with number `id` (0 or 1), of a file without a stored list of free pages. */
export function encodeMetaPage(id: number, meta: BoltMeta): Uint8Array {
  const page = new Uint8Array(meta.pageBytes);
  const view = new DataView(page.buffer);
  writePageHeader(view, 0, { id, flags: PAGE_FLAG_META, count: 0, overflow: 0 });
  view.setUint32(META_AT, MAGIC, true);
  view.setUint32(META_AT + 4, VERSION, true);
  view.setUint32(META_AT + 8, meta.pageBytes, true);
  view.setBigUint64(META_AT + 16, BigInt(meta.root), true);
  view.setBigUint64(META_AT + 32, NO_FREELIST, true);
  view.setBigUint64(META_AT + 40, BigInt(meta.highWater), true);
  view.setBigUint64(META_AT + 48, meta.txid, true);
  const checked = page.subarray(META_AT, META_AT + META_CHECKED_BYTES);
  view.setBigUint64(META_AT + META_CHECKED_BYTES, fnv1a64(checked), true);
  return page;
}

/** Reads a meta page; a string says why it is none. `page` holds at least {@link META_PAGE_BYTES_USED} bytes. */
export function decodeMetaPage(page: Uint8Array): BoltMeta | string {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const magic = view.getUint32(META_AT, true);
  if (magic !== MAGIC) return `magic ${magic.toString(16)}, expected ${MAGIC.toString(16)}`;
  const version = view.getUint32(META_AT + 4, true);
  if (version !== VERSION) return `format version ${version}, expected ${VERSION}`;
  const checksum = view.getBigUint64(META_AT + META_CHECKED_BYTES, true);
  const expected = fnv1a64(page.subarray(META_AT, META_AT + META_CHECKED_BYTES));
  if (checksum !== expected) return `checksum ${checksum.toString(16)}, expected ${expected.toString(16)}`;
  const pageBytes = view.getUint32(META_AT + 8, true);
  if (pageBytes < PAGE_BYTES_MIN || pageBytes > PAGE_BYTES_MAX || (pageBytes & (pageBytes - 1)) !== 0) {
    return `a page size of ${pageBytes} bytes`;
  }
  return {
    pageBytes,
    root: readPageId(view, META_AT + 16),
    highWater: readPageId(view, META_AT + 40),
    txid: view.getBigUint64(META_AT + 48, true),
  };
}

export interface PageHeader {
  readonly id: number;
  readonly flags: number;
  readonly count: number;
  readonly overflow: number;
}

export function writePageHeader(view: DataView, at: number, header: PageHeader): void {
  writePageId(view, at, header.id);
  view.setUint16(at + 8, header.flags, true);
  view.setUint16(at + 10, header.count, true);
  view.setUint32(at + 12, header.overflow, true);
}

export function readPageHeader(view: DataView, at: number): PageHeader {
  return {
    id: readPageId(view, at),
    flags: view.getUint16(at + 8, true),
    count: view.getUint16(at + 10, true),
    overflow: view.getUint32(at + 12, true),
  };
}

/** A page id; one beyond 2^53 comes out inexact, and above every bound it is compared with. */
export function readPageId(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

export function writePageId(view: DataView, at: number, id: number): void {
  view.setUint32(at, id >>> 0, true);
  view.setUint32(at + 4, Math.floor(id / 0x1_0000_0000), true);
}
