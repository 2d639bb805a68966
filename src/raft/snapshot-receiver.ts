import type { SnapshotMeta } from "./raft.ts";
import type { SnapshotService } from "./snapshot-service.ts";

/**
 * A leader's snapshot on its way to become the state: first its marker must be durable in the log, then it is installed. From
 * the moment the core accepts it until then, apply gets nothing. A newer one that comes meanwhile is installed after it.
 */
export class SnapshotReceiver {
  readonly #service: SnapshotService;
  readonly #onInstalled: (meta: SnapshotMeta) => void;
  readonly #onFailed: (error: unknown) => void;
  /** Accepted; the marker is being written. */
  #pending: SnapshotMeta | null = null;
  /** Its marker is durable; waits for the one before to be installed. */
  #next: SnapshotMeta | null = null;
  #installing: SnapshotMeta | null = null;

  constructor(
    service: SnapshotService,
    onInstalled: (meta: SnapshotMeta) => void,
    onFailed: (error: unknown) => void,
  ) {
    this.#service = service;
    this.#onInstalled = onInstalled;
    this.#onFailed = onFailed;
  }

  /** True while apply must not be given anything. */
  get isBusy(): boolean {
    return this.#pending !== null || this.#next !== null || this.#installing !== null;
  }

  /** The core has put this snapshot in the place of the log. */
  accept(meta: SnapshotMeta): void {
    this.#pending = meta;
  }

  /** A flush has ended; the newest snapshot marker in it was that of `snapshotIndex`. */
  flushed(snapshotIndex: number): void {
    if (this.#pending === null || this.#pending.index !== snapshotIndex) return;
    this.#next = this.#pending;
    this.#pending = null;
    this.#install();
  }

  #install(): void {
    const meta = this.#next;
    if (meta === null || this.#installing !== null) return;
    this.#next = null;
    this.#installing = meta;
    this.#service.install(meta).then(
      () => {
        this.#installing = null;
        this.#onInstalled(meta);
        this.#install();
      },
      (error: unknown) => this.#onFailed(error),
    );
  }
}
