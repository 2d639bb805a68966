/**
 * Writes a database file of etcd's format in one pass over sorted records: leaves from left to right, the levels above them as
 * they fill, the tree of buckets last, and the meta pages when everything else is there. A file that was not finished has no
 * meta page, so nobody takes it for a database.
 *
 * Bounded memory: one leaf, one page a level, and a buffer of a megabyte. Read next: `leaf-builder.ts`, `branch-builder.ts`.
 */
import { rmSync } from "node:fs";

import { assert } from "../base/assert.ts";
import {
  BUCKET_HEADER_BYTES,
  ELEMENT_FLAG_BUCKET,
  encodeMetaPage,
  PAGE_BYTES,
  writePageId,
} from "./bolt-format.ts";
import { BranchBuilder, type Child } from "./branch-builder.ts";
import { LeafBuilder } from "./leaf-builder.ts";
import { PageOutput } from "./page-output.ts";
import { describeFileError } from "./snapshot-file-error.ts";

/** bbolt makes a bucket inline when its page takes no more than this part of a page. */
const INLINE_PART = 4;
/** Any number above zero: page 0 gets it, page 1 the one before. */
const TXID = 2n;

export interface BoltWriterOptions {
  readonly pageBytes?: number;
}

export class BoltWriter {
  readonly #path: string;
  readonly #output: PageOutput;
  readonly #buckets: Array<{ name: Uint8Array; value: Uint8Array }> = [];
  #tree: TreeWriter | null = null;
  #name = "";

  /** Begins the file at `path`; an older one is overwritten. @throws with the path and the cause */
  constructor(path: string, { pageBytes = PAGE_BYTES }: BoltWriterOptions = {}) {
    this.#path = path;
    try {
      this.#output = new PageOutput(path, pageBytes);
    } catch (error) {
      throw describeFileError(path, "cannot write", error);
    }
  }

  /** Begins a bucket, empty so far. The one before is ended. */
  beginBucket(name: string): void {
    this.#endBucket();
    this.#name = name;
    this.#tree = new TreeWriter(this.#output, 0);
  }

  /**
   * Adds `key[0, keyLength)` with `value[0, valueLength)` to the bucket begun last; keys ascend. Both are borrowed.
   * @throws with the path and the cause, also when the disk is full; the file is gone then
   */
  put(key: Uint8Array, keyLength: number, value: Uint8Array, valueLength: number): void {
    assert(this.#tree !== null, "a bucket was begun");
    try {
      this.#tree.add(key, keyLength, value, valueLength);
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /**
   * Ends the file. Returns its length in bytes.
   * @throws with the path and the cause, also when the disk is full; the file is gone then
   */
  finish(options: { sync: boolean }): number {
    try {
      this.#endBucket();
      const root = this.#writeRoot();
      const { pageBytes, nextPage: highWater } = this.#output;
      const meta = { pageBytes, root, highWater, txid: TXID };
      return this.#output.finish(
        [encodeMetaPage(0, meta), encodeMetaPage(1, { ...meta, txid: TXID - 1n })],
        options,
      );
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Leaves nothing behind. */
  abandon(): void {
    this.#output.close();
    rmSync(this.#path, { force: true });
  }

  #endBucket(): void {
    if (this.#tree === null) return;
    const value = this.#tree.finishBucket();
    this.#tree = null;
    this.#buckets.push({ name: Buffer.from(this.#name), value });
  }

  #writeRoot(): number {
    const tree = new TreeWriter(this.#output, ELEMENT_FLAG_BUCKET);
    this.#buckets.sort((a, b) => Buffer.compare(a.name, b.name));
    for (const { name, value } of this.#buckets) tree.add(name, name.length, value, value.length);
    return tree.finishPages();
  }

  #fail(cause: unknown): Error {
    this.abandon();
    return describeFileError(this.#path, "cannot write", cause);
  }
}

/** One tree: its open leaf, and a builder a level above. */
class TreeWriter {
  readonly #output: PageOutput;
  readonly #leaf: LeafBuilder;
  readonly #levels: BranchBuilder[] = [];

  constructor(output: PageOutput, flags: number) {
    this.#output = output;
    this.#leaf = new LeafBuilder(output, flags);
  }

  add(key: Uint8Array, keyLength: number, value: Uint8Array, valueLength: number): void {
    if (!this.#leaf.fits(keyLength + valueLength)) this.#endLeaf();
    this.#leaf.add(key, keyLength, value, valueLength);
  }

  #endLeaf(): void {
    const key = this.#leaf.firstKey();
    this.#addChild(0, { key, page: this.#leaf.writePage() });
  }

  #addChild(level: number, child: Child): void {
    if (level === this.#levels.length) this.#levels.push(new BranchBuilder(this.#output));
    const filled = this.#levels[level].add(child);
    if (filled !== null) this.#addChild(level + 1, filled);
  }

  /** The bucket's value in the tree of buckets. */
  finishBucket(): Uint8Array {
    const isSmall = this.#leaf.usedBytes <= this.#output.pageBytes / INLINE_PART;
    if (this.#levels.length === 0 && isSmall) return this.#leaf.takeInlineBucket();
    const value = new Uint8Array(BUCKET_HEADER_BYTES);
    writePageId(new DataView(value.buffer), 0, this.finishPages());
    return value;
  }

  /** Writes what is open; returns the root's page. */
  finishPages(): number {
    if (this.#levels.length === 0) return this.#leaf.writePage();
    this.#endLeaf();
    for (let level = 0; ; level++) {
      const { pages, onlyChild } = this.#levels[level].finish();
      if (onlyChild !== null) return onlyChild.page;
      for (const page of pages) this.#addChild(level + 1, page);
    }
  }
}
