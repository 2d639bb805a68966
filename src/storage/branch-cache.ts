/**
 * Branch pages in memory, across snapshots. Owns their bytes and decides until when they may be believed.
 *
 * A page number alone says little: once a commit has freed a page, a later one may write something else there. Dropping
 * everything with each commit would be right, but ten commits a second would have every reader fetch its branch pages anew.
 *
 * The rule: a page reached in the snapshot of commit C may be believed in the snapshots of C and of C + 1, where it is
 * reached again, and then counts as reached there; in any later one it is read again.
 *
 * Why it is right. Let page n, with content X, have been reached in the snapshot of commit C, and let it be reached now
 * in that of C + 1. So n was in use in C, and commit C + 1 did not write it: LMDB never overwrites a page of the commit
 * before, because that is the one a crash would return to. And n is in use in C + 1, so nobody can have written it since
 * that one was pinned. Hence it still holds X. From C + 2 on n may have been freed in between and used for other things.
 *
 * "Commit" is the stamp: the number of the commit that last changed the page on which the tree is described (its root, in
 * the main tree). Commits that left the tree alone may lie between the stamp and the snapshot, and do no harm: what was
 * in use in the tree at the stamp still is.
 *
 * Each commit moves the pages that it changes to other numbers, so most of what was read once is never asked for again: such pages are
 * used for others before more are made. What is kept follows the branch pages of the tree, and not the commits that were.
 */
import { BranchPage } from "./branch-page.ts";
import type { PageFile } from "./page-file.ts";
import { checkBranch } from "./tree-page-check.ts";

/**
 * The branch pages of about 4 million records of 300 B. Beyond it, lookups read one page more (1 us each); more memory is
 * what etcd's map would cost, and what this reader is there to avoid.
 */
const BRANCH_CACHE_BYTES = 8 * 1024 * 1024;
/** Pages looked at for one that may be used for another, before one more is made: so few of those in use may lie in between. */
const STALE_LOOKS = 8;

export class BranchCache {
  readonly #file: PageFile;
  readonly #pagesMax: number;
  readonly #byNumber = new Map<number, BranchPage>();
  /** All pages, in the order in which the hand passes over them to find one to give up. */
  readonly #all: BranchPage[] = [];
  #hand = 0;

  constructor(file: PageFile, cacheBytes: number = BRANCH_CACHE_BYTES) {
    this.#file = file;
    this.#pagesMax = Math.max(1, Math.floor(cacheBytes / file.pageBytes));
  }

  /**
   * The branch page `pageNumber` of a tree whose description has `stamp`, checked. Borrowed until the next call. The snapshot
   * must be pinned.
   * @throws DamagedPageError, or an error with the path when reading fails
   */
  get(pageNumber: number, stamp: number): BranchPage {
    const found = this.#byNumber.get(pageNumber);
    if (found !== undefined && (stamp - found.stamp) >>> 0 <= 1) {
      found.stamp = stamp;
      found.recent = true;
      return found;
    }
    const page = found ?? this.#vacate(stamp);
    this.#byNumber.delete(pageNumber); // until it is known to be good
    page.pageNumber = pageNumber;
    page.stamp = stamp;
    this.#file.read(pageNumber, this.#file.pageBytes, page.bytes);
    checkBranch(this.#file, page.view, page);
    page.changed();
    page.recent = true;
    this.#byNumber.set(pageNumber, page);
    return page;
  }

  /** Pages in memory. */
  get pages(): number {
    return this.#all.length;
  }

  /** A page that nobody believes any more, a new one while there is room, or the first that was not reached since the hand last passed. */
  #vacate(stamp: number): BranchPage {
    const stale = this.#takeStale(stamp);
    if (stale !== null) return stale;
    if (this.#all.length < this.#pagesMax) {
      const page = new BranchPage(this.#file.pageBytes);
      this.#all.push(page);
      return page;
    }
    for (;;) {
      const page = this.#advance();
      if (!page.recent) return this.#unfile(page);
      page.recent = false;
    }
  }

  /**
   * A page under the hand that was not reached since it last passed and, were it of the tree that has `stamp`, would be read again. Of
   * another tree, which changes less often, it may be good still: that one reads it again.
   */
  #takeStale(stamp: number): BranchPage | null {
    for (let looks = Math.min(STALE_LOOKS, this.#all.length); looks > 0; looks--) {
      const page = this.#advance();
      if (((stamp - page.stamp) | 0) <= 1) continue;
      if (!page.recent) return this.#unfile(page);
      page.recent = false;
    }
    return null;
  }

  /** Moves the hand over one page. */
  #advance(): BranchPage {
    const page = this.#all[this.#hand];
    this.#hand = (this.#hand + 1) % this.#all.length;
    return page;
  }

  #unfile(page: BranchPage): BranchPage {
    // Not the page that was filed under this number later, should reading this one have failed.
    if (this.#byNumber.get(page.pageNumber) === page) this.#byNumber.delete(page.pageNumber);
    return page;
  }
}
