/**
 * Snapshots of this member, as the supervisor carries them out: it has them written by the pool (or, where nothing is kept on disk,
 * by apply), and puts received ones in the place of storage's database and apply's state.
 *
 * ```
 *   install:  pool builds the database ─▶ apply lets go of its state ─▶ storage puts the new file in place, opens it ─▶ apply reads it
 *             (the member serves on)       (reads wait in their rings)                                                 and goes on
 * ```
 * A crash at any point leaves either the old database, and the file for the next start ({@link MemberSnapshots.finishInstall}), or
 * the new one.
 */
import { mkdirSync, rmSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import type * as Comlink from "comlink";
import type { SnapshotMeta } from "../src/raft/raft.ts";
import type { ClientSnapshot, ClientSnapshotSource } from "../src/server/client-snapshot.ts";
import { type SnapshotFile, type SnapshotService, snapshotFileName } from "../src/raft/snapshot-service.ts";
import type { SnapshotExpectation } from "../src/snapshot/read-snapshot.ts";
import { findPendingInstall, installPath, removeReceived } from "../src/snapshot/received-files.ts";
import type { MainMeters } from "../src/base/thread-meters.ts";
import type { Log } from "../src/telemetry/log.ts";
import type {
  ApplyControl,
  MemberOptions,
  RaftOpened,
  Recovered,
  StorageControl,
  WatchControl,
} from "./control.ts";
import { checkFreeSpace } from "./free-space.ts";
import { SnapshotPool } from "./pool/snapshot-pool.ts";

export interface MemberSnapshotsOptions {
  readonly options: MemberOptions;
  readonly apply: Comlink.Remote<ApplyControl>;
  /** Null when nothing is kept on disk. */
  readonly storage: Comlink.Remote<StorageControl> | null;
  readonly watch: Pick<WatchControl, "suspend" | "resume">;
  readonly log: Log;
  readonly meters: MainMeters;
}

export class MemberSnapshots implements SnapshotService, ClientSnapshotSource {
  readonly #options: MemberSnapshotsOptions;
  /** Where files are made and read; also a defragmentation's copy, which ends with what is installed. */
  readonly pool = new SnapshotPool();
  /** What apply was run with. */
  #opened: RaftOpened | null = null;
  #filesMade = 0;
  #installing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: MemberSnapshotsOptions) {
    this.#options = options;
    if (options.options.inMemory) mkdirSync(options.options.snapDir, { recursive: true, mode: 0o700 });
  }

  /** Apply runs from now on. */
  running(opened: RaftOpened): void {
    this.#opened = opened;
  }

  /**
   * At start, before anything else reads the database: installs what a crash has kept from being installed, and deletes received files
   * that are of no use. Returns what the database holds then. Rejects when the log wants a snapshot that cannot be installed.
   */
  async finishInstall(recovered: Recovered): Promise<Recovered> {
    const { storage, log, options } = this.#options;
    if (storage === null) return recovered;
    const { snapDir, walDir } = options;
    const pending = await findPendingInstall(snapDir, walDir, recovered.consistentIndex);
    let result = recovered;
    if (pending !== null) {
      log.info("installing the snapshot that the last run received", {
        index: pending.index,
        term: pending.term,
      });
      const built = await this.#build(pending);
      result = await storage.replace(built);
    }
    // The log is read, and it does not want any other.
    removeReceived(snapDir, Number.MAX_SAFE_INTEGER);
    return result;
  }

  async create(): Promise<SnapshotFile> {
    const { apply, storage, options } = this.#options;
    this.#checkOpen();
    const path = join(options.snapDir, `tmp-send-${++this.#filesMade}`);
    const startedMs = performance.now();
    const made =
      storage === null ? await apply.writeSnapshot(path) : await this.pool.write(options.databasePath, path);
    this.#observe(startedMs);
    const { index, term, confState, bytes, data } = made;
    return { meta: { index, term, confState }, data, path, bytes };
  }

  async createForClient(inUseBytes: number, signal: AbortSignal): Promise<ClientSnapshot> {
    const { apply, storage, options } = this.#options;
    this.#checkOpen();
    checkFreeSpace(options.snapDir, inUseBytes, "a snapshot");
    const path = join(options.snapDir, `tmp-client-${++this.#filesMade}`);
    const startedMs = performance.now();
    try {
      const { bytes } =
        storage === null
          ? await apply.writeSnapshot(path)
          : await this.pool.write(options.databasePath, path, signal);
      this.#observe(startedMs);
      const sha256 = await this.pool.digest(path, signal);
      return { file: await open(path, "r"), bytes, sha256 };
    } finally {
      await rm(path, { force: true });
    }
  }

  release(file: SnapshotFile): void {
    rmSync(file.path, { force: true });
  }

  install(meta: SnapshotMeta): Promise<void> {
    const installing = this.#install(meta);
    this.#installing = installing.catch(() => undefined);
    return installing;
  }

  #observe(startedMs: number): void {
    this.#options.meters.snapshot.observe((performance.now() - startedMs) / 1000);
  }

  async #install(meta: SnapshotMeta): Promise<void> {
    const { installing } = this.#options.meters;
    installing.set(1);
    await this.#replaceAll(meta).finally(() => installing.set(0));
  }

  async #replaceAll(meta: SnapshotMeta): Promise<void> {
    const { apply, storage, watch, log, options } = this.#options;
    const { index, term } = meta;
    if (this.#opened === null) throw new Error(`snapshot ${index} is to be installed before apply runs`);
    this.#checkOpen();
    const startedMs = performance.now();
    log.info("applying snapshot", { "incoming-leader-snapshot-index": index });
    // What is being made of the old state is of no use any more.
    await this.pool.cancelAll();
    if (storage === null) {
      await apply.suspend();
      await watch.suspend();
      await apply.open({ path: join(options.snapDir, snapshotFileName(index)), index, term });
    } else await this.#replaceDatabase(storage, { index, term });
    await watch.resume();
    await apply.run(this.#opened);
    removeReceived(options.snapDir, index);
    const took = `${Math.round(performance.now() - startedMs)}ms`;
    log.info("applied snapshot", { "incoming-leader-snapshot-index": index, took });
  }

  async verify({ index, term }: SnapshotMeta): Promise<void> {
    this.#checkOpen();
    await this.pool.verify(join(this.#options.options.snapDir, snapshotFileName(index)), { index, term });
  }

  async #replaceDatabase(
    storage: Comlink.Remote<StorageControl>,
    expected: SnapshotExpectation,
  ): Promise<void> {
    const { apply, watch } = this.#options;
    const built = await this.#build(expected);
    await apply.suspend();
    await watch.suspend();
    const recovered = await storage.replace(built);
    const opened = await apply.open();
    // Asked of both, so that nobody goes on with the file that was there before.
    if (recovered.consistentIndex !== expected.index || opened.consistentIndex !== expected.index) {
      throw new Error(
        `snapshot ${expected.index} is installed, but storage holds index ${recovered.consistentIndex} and apply ${opened.consistentIndex}`,
      );
    }
    await storage.run({ ...recovered, revision: opened.revision });
  }

  discard({ index }: SnapshotMeta): void {
    const path = join(this.#options.options.snapDir, snapshotFileName(index));
    // What cannot be deleted costs space only, until the next start.
    rm(path, { force: true }).catch(() => undefined);
  }

  /** The path of a database made of the received file. */
  async #build(expected: SnapshotExpectation): Promise<string> {
    const { snapDir } = this.#options.options;
    const built = installPath(snapDir, expected.index);
    const path = join(snapDir, snapshotFileName(expected.index));
    const { unknownBuckets } = await this.pool.build(path, built, expected);
    if (unknownBuckets.length > 0) {
      this.#options.log.warn("the snapshot has buckets that this version does not know; they are left out", {
        buckets: unknownBuckets,
      });
    }
    return built;
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.pool.close();
    await this.#installing;
    const { inMemory, snapDir } = this.#options.options;
    if (inMemory) rmSync(snapDir, { recursive: true, force: true });
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error("the member is stopping");
  }
}
