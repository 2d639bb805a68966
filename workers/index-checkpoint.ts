/**
 * The index checkpoint of the apply thread, written when there is time (`src/apply/idle-checkpoint.ts` decides) and at the end.
 *
 * It carries the id of the database it was made from, which lies in the database's bucket `meta`, random, written with the first
 * checkpoint: a file that was left by an earlier life of the directory, or came with another database, is not taken for ours.
 */
import { dirname } from "node:path";
import { META_BUCKET } from "../src/apply/apply-compaction.ts";
import type { ApplyLoop } from "../src/apply/apply-loop.ts";
import { type CheckpointJob, IdleCheckpoint } from "../src/apply/idle-checkpoint.ts";
import { CHECKPOINT_LAYOUT } from "../src/mvcc/checkpoint.ts";
import type { CheckpointHeader } from "../src/storage/checkpoint-header.ts";
import { CheckpointWriter, writeCheckpoint } from "../src/storage/checkpoint-writer.ts";
import { freeBytesIn } from "../src/storage/free-space.ts";
import { META_DATABASE_ID } from "../src/storage/meta-keys.ts";
import type { Logger } from "../src/telemetry/logger.ts";
import type { ApplyState } from "./apply-state.ts";

/** What one slice hands to the kernel: two or three milliseconds with its checksum. */
const SLICE_BYTES = 2 * 1024 * 1024;
/** What must stay free beside a checkpoint: the log's next segment and room for the database. */
const FREE_BYTES_MIN = 256 * 1024 * 1024;
const DATABASE_ID_BYTES = 16;

export interface IndexCheckpointsOptions {
  readonly state: ApplyState;
  readonly loop: ApplyLoop;
  readonly path: string;
  readonly logger: Logger;
}

export class IndexCheckpoints {
  readonly idle: IdleCheckpoint;
  readonly #options: IndexCheckpointsOptions;
  #databaseId: string;
  /** Revision of the checkpoint in place; 0 = none. */
  #savedRevision: number;

  constructor(options: IndexCheckpointsOptions) {
    this.#options = options;
    const { state, loop } = options;
    this.#databaseId = state.databaseId;
    this.#savedRevision = state.checkpointRevision;
    this.idle = new IdleCheckpoint({
      changes: () => state.recordsScanned + state.revisionChanges(),
      indexVersion: () => state.revisionChanges() + loop.slices,
      isCompacting: () => loop.isCompacting,
      keys: () => state.store.liveKeys,
      isOutdated: () => this.#savedRevision < state.store.compactRevision,
      begin: () => this.#begin(),
      onFailed: (error) =>
        options.logger.warn("could not write the index checkpoint; trying again later", { error }),
    });
  }

  #begin(): CheckpointJob {
    const { state, loop, path, logger } = this.#options;
    const startedMs = performance.now();
    const chunks = state.store.serialize();
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    this.#checkFreeSpace(bytes);
    const token = this.#commit();
    const header = this.#header();
    const writer = new CheckpointWriter(path, header, chunks);
    return {
      writeSlice: () => writer.writeSlice(SLICE_BYTES),
      isCommitted: () => loop.isCommitted(token),
      abandon: () => writer.abandon(),
      finish: async () => {
        await writer.finish();
        this.#savedRevision = header.revision;
        const took = `${Math.round(performance.now() - startedMs)}ms`;
        logger.info("wrote the index checkpoint", { revision: header.revision, bytes, took });
      },
    };
  }

  #checkFreeSpace(bytes: number): void {
    const freeBytes = freeBytesIn(dirname(this.#options.path));
    if (freeBytes < bytes + FREE_BYTES_MIN)
      throw new Error(`${freeBytes} bytes are free, a checkpoint takes ${bytes}`);
  }

  /** Asks storage to commit everything up to now, the deletions that serializing has sent included, and the id. */
  #commit(): number {
    const { state, loop } = this.#options;
    if (this.#databaseId === "") {
      const id = process.getBuiltinModule("node:crypto").randomBytes(DATABASE_ID_BYTES);
      state.bucketSink.bucketPut(META_BUCKET, META_DATABASE_ID, id);
      this.#databaseId = id.toString("hex");
    }
    return loop.requestCommit();
  }

  #header(): CheckpointHeader {
    const { state, loop } = this.#options;
    return {
      layoutVersion: CHECKPOINT_LAYOUT,
      consistentIndex: loop.appliedIndex,
      revision: state.store.revision,
      identity: this.#databaseId,
    };
  }

  /**
   * Leaves the index behind for the next start, unless the newest checkpoint holds it already. `waitForStorage` must return once
   * a commit that was asked for is done. After the loop has ended.
   */
  async writeLast(waitForStorage: (token: number) => void): Promise<void> {
    const { state, path, logger } = this.#options;
    await this.idle.stop();
    if (this.idle.unsavedChanges === 0 && this.#databaseId !== "") return;
    const chunks = state.store.serialize();
    waitForStorage(this.#commit());
    try {
      writeCheckpoint(path, this.#header(), chunks);
    } catch (error) {
      logger.warn("could not write the index checkpoint; the next start reads the whole database", { error });
    }
  }
}
