/** One level of branch pages above the leaves, or above another such level, filled as its children are written. */
import {
  ELEMENT_BYTES,
  PAGE_FLAG_BRANCH,
  PAGE_HEADER_BYTES,
  writePageHeader,
  writePageId,
} from "./bolt-format.ts";
import type { PageOutput } from "./page-output.ts";

/** A page below: its id and its first key. */
export interface Child {
  readonly key: Uint8Array;
  readonly page: number;
}

/** bbolt wants no branch page with a single child; so the page behind a full one is begun with two, or not at all. */
const CHILDREN_MIN = 2;

export class BranchBuilder {
  readonly #output: PageOutput;
  #children: Child[] = [];
  /** How many of them, from the first on, fit into one page; at least two, whatever their keys. */
  #fitting = 0;
  #fittingBytes = PAGE_HEADER_BYTES;

  constructor(output: PageOutput) {
    this.#output = output;
  }

  /** Adds the next child. Returns the page that this filled, as a child of the level above, or null. */
  add(child: Child): Child | null {
    this.#children.push(child);
    this.#measure();
    return this.#children.length - this.#fitting >= CHILDREN_MIN ? this.#write(this.#fitting) : null;
  }

  /** The last pages of the level, at most two. None: it holds a single child, which needs no page above it. */
  finish(): { pages: Child[]; onlyChild: Child | null } {
    if (this.#children.length === 1) return { pages: [], onlyChild: this.#children[0] };
    const pages: Child[] = [];
    const left = this.#children.length - this.#fitting;
    // One is left over: it gets its predecessor for company, or, where just two fitted, goes with them.
    if (left > 0 && this.#fitting > CHILDREN_MIN) pages.push(this.#write(this.#fitting - 1));
    pages.push(this.#write(this.#children.length));
    return { pages, onlyChild: null };
  }

  #measure(): void {
    while (this.#fitting < this.#children.length) {
      const bytes = this.#fittingBytes + ELEMENT_BYTES + this.#children[this.#fitting].key.length;
      if (this.#fitting >= CHILDREN_MIN && bytes > this.#output.pageBytes) return;
      this.#fittingBytes = bytes;
      this.#fitting++;
    }
  }

  /** Writes the first `count` children as a page. */
  #write(count: number): Child {
    const children = this.#children.slice(0, count);
    this.#children = this.#children.slice(count);
    this.#fitting = 0;
    this.#fittingBytes = PAGE_HEADER_BYTES;
    this.#measure();
    return { key: children[0].key, page: writeBranchPage(this.#output, children) };
  }
}

function writeBranchPage(output: PageOutput, children: readonly Child[]): number {
  const dataBytes = children.reduce((sum, { key }) => sum + key.length, 0);
  const usedBytes = PAGE_HEADER_BYTES + children.length * ELEMENT_BYTES + dataBytes;
  const pages = Math.ceil(usedBytes / output.pageBytes);
  const id = output.nextPage;
  const at = output.reserve(pages);
  const { bytes, view } = output;
  writePageHeader(view, at, { id, flags: PAGE_FLAG_BRANCH, count: children.length, overflow: pages - 1 });
  let element = at + PAGE_HEADER_BYTES;
  let keyAt = element + children.length * ELEMENT_BYTES;
  for (const { key, page } of children) {
    view.setUint32(element, keyAt - element, true);
    view.setUint32(element + 4, key.length, true);
    writePageId(view, element + 8, page);
    bytes.set(key, keyAt);
    element += ELEMENT_BYTES;
    keyAt += key.length;
  }
  bytes.fill(0, at + usedBytes, at + pages * output.pageBytes);
  return id;
}
