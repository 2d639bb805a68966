/** A member's snapshot directory, and the service that makes and installs snapshots: copies of the simulated database. */

import type { Prng } from "../../src/base/prng.ts";
import { parseConfState } from "../../src/cluster/conf-state.ts";
import type { SnapshotMeta } from "../../src/raft/raft.ts";
import type { SnapshotFile, SnapshotService } from "../../src/raft/snapshot-service.ts";
import { readWal } from "../../src/wal/recovery.ts";
import type { WalFileSystem } from "../../src/wal/wal-file-system.ts";
import { walExists } from "../../src/wal/segments.ts";
import type { Life, Scheduler } from "./scheduler.ts";
import type { DatabaseImage, SimulatedDatabase } from "./simulated-database.ts";

/** Longest time that writing or reading a snapshot takes. */
const WORK_MS_MAX = 300;
const SNAPSHOT_BYTES = 100_000;

/** A snapshot file that carries what it holds. */
interface SimulatedSnapshotFile extends SnapshotFile {
  readonly image: DatabaseImage;
}

/** Received snapshots; they survive crashes. */
export class SnapshotStore {
  readonly #received = new Map<number, DatabaseImage>();

  /** A complete file has come; it is durable. */
  receive(file: SnapshotFile, index: number): void {
    this.#received.set(index, (file as SimulatedSnapshotFile).image);
  }

  find(index: number): DatabaseImage | undefined {
    return this.#received.get(index);
  }

  /** At start: installs the newest one that the log has a marker for and the database does not hold yet. */
  finishInstall(database: SimulatedDatabase, fileSystem: WalFileSystem, walDirectory: string): void {
    const { consistentIndex } = database.recovered();
    const candidates = [...this.#received].filter(([index]) => index > consistentIndex);
    candidates.sort(([a], [b]) => b - a);
    if (walExists(walDirectory, fileSystem)) {
      const pending = candidates.find(([index]) => {
        const { snapshots } = readWal(fileSystem, walDirectory, index).contents;
        return snapshots.some((marker) => marker.index === index);
      });
      if (pending !== undefined) database.replace(pending[1]);
    }
    this.#received.clear();
  }

  forgetTo(index: number): void {
    for (const each of this.#received.keys()) if (each <= index) this.#received.delete(each);
  }
}

export interface SnapshotServiceOptions {
  readonly scheduler: Scheduler;
  readonly random: Prng;
  readonly life: Life;
  readonly database: SimulatedDatabase;
  readonly store: SnapshotStore;
  /** Apply and storage let go of the state; `replace` gives them another. */
  readonly reopen: (replace: () => void) => void;
}

export class SimulatedSnapshots implements SnapshotService {
  readonly #options: SnapshotServiceOptions;

  constructor(options: SnapshotServiceOptions) {
    this.#options = options;
  }

  async create(): Promise<SnapshotFile> {
    const image = this.#options.database.image();
    await this.#work();
    const { consistentIndex: index, term, confState } = image;
    if (confState === undefined) throw new Error("the database holds no configuration yet");
    const meta: SnapshotMeta = { index, term, confState: parseConfState(confState) };
    const file: SimulatedSnapshotFile = {
      meta,
      data: new Uint8Array(0),
      path: "snapshot",
      bytes: SNAPSHOT_BYTES,
      image,
    };
    return file;
  }

  release(): void {}

  async install({ index }: SnapshotMeta): Promise<void> {
    const { database, store, reopen } = this.#options;
    const image = store.find(index);
    if (image === undefined) throw new Error(`no snapshot file for index ${index}`);
    await this.#work();
    reopen(() => database.replace(image));
    store.forgetTo(index);
  }

  async verify(): Promise<void> {
    await this.#work();
  }

  #work(): Promise<void> {
    const { scheduler, random, life } = this.#options;
    return scheduler.sleep(random.below(WORK_MS_MAX), life);
  }
}
