import type { PeerNetwork } from "./peer-network.ts";
import type { RaftMessage } from "./raft.ts";
import type { SnapshotFile, SnapshotService } from "./snapshot-service.ts";

/** Followers that wait for a snapshot or are being sent one; more are told that theirs failed, and ask again. */
const SNAPSHOTS_PENDING_MAX = 16;
/** So long after a snapshot the log is not compacted: its receiver still has to catch up with what came since. */
const CATCH_UP_MS = 30_000;

export interface SnapshotSenderOptions {
  readonly service: SnapshotService;
  readonly network: PeerNetwork;
  readonly tickMs: number;
  /** The snapshot for this member could not be made or sent at all. Called in a later turn. */
  readonly onFailed: (id: bigint, error: unknown) => void;
}

/**
 * Sends snapshots to followers that need entries which are gone. One is made at a time; whoever asks meanwhile shares it. The
 * message that the core wrote says who needs one; what it covers is what the file says.
 */
export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  #waiting: RaftMessage[] = [];
  #isCreating = false;
  /** File that each follower is being sent. */
  readonly #sending = new Map<bigint, SnapshotFile>();
  #holdTicks = 0;

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /** True while the log must not be compacted. */
  get holdsLog(): boolean {
    return this.#isActive || this.#holdTicks > 0;
  }

  get #isActive(): boolean {
    return this.#isCreating || this.#sending.size > 0;
  }

  tick(): void {
    if (!this.#isActive && this.#holdTicks > 0) this.#holdTicks--;
  }

  /** A follower needs a snapshot. False if there are too many: it is then to be reported as failed. */
  send(message: RaftMessage): boolean {
    const { to } = message;
    if (this.#sending.has(to) || this.#waiting.length + this.#sending.size >= SNAPSHOTS_PENDING_MAX)
      return false;
    this.#waiting = [...this.#waiting.filter((other) => other.to !== to), message];
    this.#create();
    return true;
  }

  /** The snapshot for `id` has arrived or failed. */
  ended(id: bigint): void {
    const file = this.#sending.get(id);
    if (file === undefined) return;
    this.#sending.delete(id);
    this.#holdTicks = Math.ceil(CATCH_UP_MS / this.#options.tickMs);
    if (![...this.#sending.values()].includes(file)) this.#options.service.release(file);
  }

  #create(): void {
    if (this.#isCreating) return;
    this.#isCreating = true;
    this.#options.service.create().then(
      (file) => this.#created(file),
      (error: unknown) => this.#failed(error),
    );
  }

  #created(file: SnapshotFile): void {
    this.#isCreating = false;
    const messages = this.#waiting.splice(0);
    for (const message of messages) this.#sending.set(message.to, file);
    for (const message of messages) {
      this.#options.network.sendSnapshot({ ...message, snapshot: file.meta }, file);
    }
  }

  #failed(error: unknown): void {
    this.#isCreating = false;
    for (const { to } of this.#waiting.splice(0)) this.#options.onFailed(to, error);
  }
}
