/**
 * Defragmentation, as the supervisor has it carried out: the pool copies the database beside everything else, storage brings the
 * copy up to date between two turns of its loop and puts it in place. Clients are served throughout.
 */
import { join } from "node:path";
import type * as Comlink from "comlink";
import type { Defragmenter } from "../src/server/defragment.ts";
import { removeDatabase } from "../src/storage/copy-database.ts";
import type { MemberOptions, StorageControl } from "./control.ts";
import { checkFreeSpace } from "./free-space.ts";
import type { SnapshotPool } from "./pool/snapshot-pool.ts";

/** Deleted at the next start if the process dies. */
const TARGET_NAME = "tmp-defrag";

export interface MemberDefragmentOptions {
  readonly options: MemberOptions;
  /** Null when nothing is kept on disk: then there is nothing to do. */
  readonly storage: Comlink.Remote<StorageControl> | null;
  readonly pool: SnapshotPool;
}

export class MemberDefragment implements Defragmenter {
  readonly #options: MemberDefragmentOptions;
  #last: Promise<void> = Promise.resolve();

  constructor(options: MemberDefragmentOptions) {
    this.#options = options;
  }

  /** One after the other: whoever asks while one is in progress wants what is free then, too. */
  defragment(inUseBytes: number): Promise<void> {
    const next = this.#last.then(() => this.#defragment(inUseBytes));
    this.#last = next.catch(() => undefined);
    return next;
  }

  async #defragment(inUseBytes: number): Promise<void> {
    const { options, storage, pool } = this.#options;
    if (storage === null) return;
    checkFreeSpace(options.snapDir, inUseBytes, "a defragmentation");
    const target = join(options.snapDir, TARGET_NAME);
    await storage.beginDefragment();
    try {
      const { revision } = await pool.copy(options.databasePath, target);
      await storage.finishDefragment(target, revision);
    } catch (error) {
      await storage.abandonDefragment();
      removeDatabase(target);
      throw error;
    }
  }
}
