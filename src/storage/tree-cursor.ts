/**
 * Finds records in one B+tree of the file, and walks over them in key order. Branch pages come from memory
 * (`branch-cache.ts`), leaf pages from the file (`leaf-window.ts`). Whoever uses it keeps the tree's snapshot pinned.
 *
 * ```
 *   path: pages[0], indexes[0]          root                  the pages are kept by number and asked for again on the way
 *         pages[1], indexes[1]            +- branch           up: a walk over many branch pages may have pushed them out
 *         leafPage, index                     +- leaf         of memory
 * ```
 */
import { BranchCache } from "./branch-cache.ts";
import type { BranchPage } from "./branch-page.ts";
import { compareWithNode, findInLeaf, type SearchKey } from "./key-search.ts";
import { LeafWindow } from "./leaf-window.ts";
import { OverflowReader } from "./overflow-value.ts";
import type { PageFile } from "./page-file.ts";
import {
  BIG_DATA_PAGES,
  NODE_FLAG_BIG_DATA,
  NODE_HEADER_BYTES,
  nodeAt,
  nodeCount,
  nodeDataAt,
  nodeDataLength,
  nodeFlags,
  nodeKeyLength,
  readUint64,
  TREE_DEPTH_MAX,
} from "./page-layout.ts";
import { checkLeaf } from "./tree-page-check.ts";

/** A tree as the snapshot describes it. */
export interface Tree {
  /** Its root page; -1 when it is empty. */
  readonly root: number;
  readonly depth: number;
  /** Low 32 bits of the number of the commit that wrote the page with this description. */
  readonly stamp: number;
}

const NO_TREE: Tree = { root: -1, depth: 0, stamp: 0 };

export class TreeCursor {
  /** Holds the record's key at {@link keyAt}. Borrowed until the cursor moves. */
  readonly bytes: Uint8Array;
  keyAt = 0;
  keyLength = 0;
  readonly #file: PageFile;
  readonly #branches: BranchCache;
  readonly #leaves: LeafWindow;
  readonly #overflow: OverflowReader;
  readonly #view: DataView;
  #tree = NO_TREE;
  readonly #pages = new Float64Array(TREE_DEPTH_MAX);
  readonly #indexes = new Int32Array(TREE_DEPTH_MAX);
  /** The leaf that the cursor is in, -1 when it is in none; it lies at #base of the window and was checked. */
  #leafPage = -1;
  #base = 0;
  #count = 0;
  #index = 0;
  #node = 0;
  /** The leaf behind the one entered last; -1 when that is under another branch page. */
  #nextPage = -1;
  /** Leaf pages to read at once: doubles while leaves are entered in order. */
  #ahead = 1;
  readonly #claim = { pageNumber: 0, stamp: 0 };
  readonly #value = { pageNumber: 0, stamp: 0, pages: 0, length: 0 };

  constructor(file: PageFile) {
    this.#file = file;
    this.#branches = new BranchCache(file);
    this.#leaves = new LeafWindow(file);
    this.#overflow = new OverflowReader(file);
    this.bytes = this.#leaves.bytes;
    this.#view = this.#leaves.view;
  }

  /** Turns to another tree, or to the same one in another snapshot. */
  open(tree: Tree): void {
    if (tree.depth > TREE_DEPTH_MAX || (tree.depth === 0) !== (tree.root === -1)) {
      throw this.#file.damaged(tree.root, `is said to be the root of a tree of ${tree.depth} levels`);
    }
    if (tree.root !== this.#tree.root || tree.stamp !== this.#tree.stamp) this.#leafPage = -1;
    this.#tree = tree;
  }

  /** Goes to the record of `key`; false when there is none. */
  find(key: SearchKey): boolean {
    if (!this.#enterLeafOf(key)) return false;
    this.#index = findInLeaf(key, this.#view, this.#base);
    if (this.#index === this.#count) return false;
    this.#atRecord();
    return compareWithNode(key, this.#view, this.#node) === 0;
  }

  /** Goes to the first record whose key is not below `key`; false when there is none. */
  seek(key: SearchKey): boolean {
    if (!this.#enterLeafOf(key)) return false;
    this.#index = findInLeaf(key, this.#view, this.#base);
    if (this.#index === this.#count) return this.#enterNextLeaf();
    this.#atRecord();
    return true;
  }

  /** Goes to the next record; false when there is none, and then the cursor is nowhere. */
  next(): boolean {
    if (++this.#index >= this.#count) return this.#enterNextLeaf();
    this.#atRecord();
    return true;
  }

  /** The record's value. Borrowed until the next call on the cursor. */
  value(): Uint8Array {
    const at = nodeDataAt(this.#view, this.#node);
    const flags = nodeFlags(this.#view, this.#node);
    const length = nodeDataLength(this.#view, this.#node);
    if (flags === 0) return new Uint8Array(this.bytes.buffer, at, length);
    if (flags !== NODE_FLAG_BIG_DATA) {
      throw this.#file.damaged(this.#leafPage, `has flags 0x${flags.toString(16)} on record ${this.#index}`);
    }
    const value = this.#value;
    value.pageNumber = readUint64(this.#view, at);
    value.pages = readUint64(this.#view, at + BIG_DATA_PAGES);
    value.stamp = this.#tree.stamp;
    value.length = length;
    return this.#overflow.read(value);
  }

  /** A DamagedPageError about the leaf that the cursor is in. */
  damaged(what: string): Error {
    return this.#file.damaged(this.#leafPage, what);
  }

  #atRecord(): void {
    this.#node = nodeAt(this.#view, this.#base, this.#index);
    this.keyAt = this.#node + NODE_HEADER_BYTES;
    this.keyLength = nodeKeyLength(this.#view, this.#node);
  }

  /** Enters the leaf under which `key` belongs; false when the tree is empty. */
  #enterLeafOf(key: SearchKey): boolean {
    if (this.#leafPage !== -1 && this.#leafSurrounds(key)) return true;
    this.#leafPage = -1;
    const { root, depth, stamp } = this.#tree;
    if (root === -1) return false;
    let page = root;
    let branch: BranchPage | undefined;
    for (let level = 0; level < depth - 1; level++) {
      branch = this.#branches.get(page, stamp);
      const index = branch.find(key);
      this.#pages[level] = page;
      this.#indexes[level] = index;
      page = branch.child(index);
    }
    if (page !== this.#nextPage) this.#ahead = 1;
    this.#enterLeaf(page, branch);
    return true;
  }

  /** Whether `key` lies between the first and the last key of the current leaf: no other leaf can hold it then. */
  #leafSurrounds(key: SearchKey): boolean {
    const page = this.#view;
    return (
      compareWithNode(key, page, nodeAt(page, this.#base, 0)) >= 0 &&
      compareWithNode(key, page, nodeAt(page, this.#base, this.#count - 1)) <= 0
    );
  }

  #enterNextLeaf(): boolean {
    this.#leafPage = -1;
    const { depth, stamp } = this.#tree;
    let level = depth - 2;
    let branch: BranchPage | undefined;
    for (; level >= 0; level--) {
      branch = this.#branches.get(this.#pages[level], stamp);
      if (this.#indexes[level] + 1 < branch.count) break;
    }
    if (branch === undefined || level < 0) return false;
    let page = branch.child(++this.#indexes[level]);
    for (level++; level < depth - 1; level++) {
      branch = this.#branches.get(page, stamp);
      this.#pages[level] = page;
      this.#indexes[level] = 0;
      page = branch.child(0);
    }
    this.#enterLeaf(page, branch);
    this.#index = 0;
    this.#atRecord();
    return true;
  }

  /** Enters the leaf `page`, under the branch page in `parent` (undefined when the root is the leaf). */
  #enterLeaf(page: number, parent: BranchPage | undefined): void {
    const { depth, stamp } = this.#tree;
    const index = depth < 2 ? 0 : this.#indexes[depth - 2];
    this.#nextPage = -1;
    this.#base = this.#leaves.find(page, stamp);
    if (this.#base === -1) {
      this.#base = this.#leaves.read(page, parent === undefined ? 1 : this.#pagesAhead(parent, index), stamp);
      this.#ahead = Math.min(this.#ahead * 2, this.#leaves.pagesMax);
    }
    this.#claim.pageNumber = page;
    this.#claim.stamp = stamp;
    checkLeaf(this.#file, this.#view, this.#base, this.#claim);
    this.#leafPage = page;
    this.#count = nodeCount(this.#view, this.#base);
    if (parent !== undefined && index + 1 < parent.count) this.#nextPage = parent.child(index + 1);
  }

  /**
   * How many pages to read from the child at `index` on: as many as hold the leaves behind it, while these ascend in the
   * file and at least every second page is one of them. What was appended does, but for the branch pages in between.
   */
  #pagesAhead(parent: BranchPage, index: number): number {
    const count = Math.min(parent.count, index + this.#ahead);
    const first = parent.child(index);
    let last = first;
    for (let i = index + 1; i < count; i++) {
      const page = parent.child(i);
      const span = page - first + 1;
      if (page <= last || span > this.#leaves.pagesMax || span > 2 * (i - index + 1)) break;
      last = page;
    }
    return last - first + 1;
  }
}
