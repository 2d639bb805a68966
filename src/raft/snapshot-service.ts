/**
 * What the raft thread's loop needs to help a follower that is too far behind for the log, and to be helped itself. Implemented
 * by `src/snapshot` and the supervisor, and in memory by the simulator and the tests.
 */

import type { SnapshotMeta } from "./raft.ts";

/** A snapshot to send: an image of the database in etcd's file format, without SHA-256 trailer. */
export interface SnapshotFile {
  /** Index, term and configuration of exactly the state in the file. */
  readonly meta: SnapshotMeta;
  /** `Snapshot.data` of the message in front of it: JSON of the v2 member store, for etcd before 3.6. */
  readonly data: Uint8Array;
  readonly path: string;
  readonly bytes: number;
}

export interface SnapshotService {
  /**
   * Makes a snapshot of the state as storage has it committed. The loop asks for one at a time and gives it back by
   * {@link release} once all its receivers have it. Rejects when it cannot be made; the receivers are told to wait then.
   */
  create(): Promise<SnapshotFile>;
  /** Nobody sends the file any more: it may be deleted. */
  release(file: SnapshotFile): void;
  /**
   * Checks the received file, all of it, before raft hears of the message: once its marker is in the log, a file that is damaged keeps
   * the member from starting. Rejects with what is wrong; the sender is told that the transfer failed, and the file may be deleted.
   */
  verify?(meta: SnapshotMeta): Promise<void>;
  /** The core had no use for a received snapshot (its log holds as much already): its file may be deleted. */
  discard?(meta: SnapshotMeta): void;
  /**
   * Makes the received snapshot the state of storage and apply, durably; its file lies in the snapshot directory under
   * {@link snapshotFileName}. The WAL's marker for it is durable already, so a crash in here is finished by the next start.
   * Resolves when apply expects entry `meta.index + 1` next. Rejects when that failed: the member ends.
   */
  install(meta: SnapshotMeta): Promise<void>;
}

/** Name of a received snapshot's file in `<data-dir>/member/snap`. */
export function snapshotFileName(index: number): string {
  return `${index.toString(16).padStart(16, "0")}.snap.db`;
}
