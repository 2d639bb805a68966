/**
 * Defragmentation, as the supervisor has it carried out: the pool copies the database beside everything else, storage brings the
 * copy up to date between two turns of its loop and puts it in place. Clients are served throughout.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type * as Comlink from "comlink";
import type { Defragmenter } from "../src/server/defragment.ts";
import type { MainMeters } from "../src/base/thread-meters.ts";
import { removeDatabase } from "../src/storage/remove-database.ts";
import type { MemberOptions, StorageControl } from "./control.ts";
import { checkFreeSpace } from "./free-space.ts";
import type { SnapshotPool } from "./pool/snapshot-pool.ts";

/** Deleted at the next start if the process dies. */
const TARGET_NAME = "tmp-defrag";

/**
 * How long the old file is kept open. Whoever closes a large deleted file last waits until the system has freed all of it: that is
 * to be a thread of the system's pool, and not the reader of the apply thread.
 */
const OLD_FILE_KEPT_MS = 3000;

export interface MemberDefragmentOptions {
  readonly options: MemberOptions;
  /** Null when nothing is kept on disk: then there is nothing to do. */
  readonly storage: Comlink.Remote<StorageControl> | null;
  readonly pool: SnapshotPool;
  readonly meters: MainMeters;
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
    const { options, storage, pool, meters } = this.#options;
    if (storage === null) return;
    const startedMs = performance.now();
    checkFreeSpace(options.snapDir, inUseBytes, "a defragmentation");
    const target = join(options.snapDir, TARGET_NAME);
    const old = await open(options.databasePath, "r");
    const release = (): Promise<void> =>
      sleep(OLD_FILE_KEPT_MS, undefined, { ref: false }).then(() => old.close());
    try {
      await storage.beginDefragment();
      const { revision } = await pool.copy(options.databasePath, target);
      await storage.finishDefragment(target, revision);
      meters.defragmentation.observe((performance.now() - startedMs) / 1000);
      release().catch(() => undefined);
    } catch (error) {
      await old.close();
      await storage.abandonDefragment();
      removeDatabase(target);
      throw error;
    }
  }
}
