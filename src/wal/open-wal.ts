/** Makes a log, or opens one that is there: what a {@link Wal} begins with. `recovery.ts` and `damage.ts` read, `wal.ts` writes from then on. */

import * as path from "node:path";
import type { HardState } from "../raft/raft.ts";
import { nodeFileSystem } from "./node-file-system.ts";
import { prepareTail, readWal } from "./recovery.ts";
import type { WalContents, WalTail } from "./recovery.ts";
import { type Segment, walExists } from "./segments.ts";
import { Wal, type WalOptions } from "./wal.ts";
import { WalBatch } from "./wal-batch.ts";
import { WalError } from "./wal-error.ts";
import type { WalFileSystem } from "./wal-file-system.ts";
import {
  SEGMENT_BYTES,
  WalRecordType,
  encodeHardState,
  encodeMetadata,
  encodeSnapshotMarker,
  segmentName,
} from "./wal-format.ts";
import type { WalMetadata } from "./wal-format.ts";

export interface CreateWalOptions extends WalOptions {
  /** Entries 1, 2, … that the log begins with; durable when {@link createWal} resolves. */
  readonly founding?: ReadonlyArray<{
    readonly type: number;
    readonly term: number;
    readonly data: Uint8Array;
  }>;
  /** Hard state behind the founding entries; without it a crash would leave founders that know of no commit. */
  readonly hardState?: HardState;
}

/**
 * Creates a WAL in `directory`, which must be empty or not there. It is built beside it and renamed, so it appears whole, with
 * its founding entries, or not at all. Throws {@link WalError}.
 */
export async function createWal(
  directory: string,
  metadata: WalMetadata,
  options: CreateWalOptions = {},
): Promise<Wal> {
  const fileSystem = options.fileSystem ?? nodeFileSystem;
  if (walExists(directory, fileSystem)) throw new WalError("a log exists already", directory);
  // The folder is replaced by a rename, and what lies in it would be lost.
  const [other] = fileSystem.list(directory);
  if (other !== undefined)
    throw new WalError(
      `${other} is no log; remove it, or name another folder: cannot create a log in`,
      directory,
    );
  const metadataBytes = encodeMetadata(metadata);
  const batch = new WalBatch();
  batch.appendCrc(0);
  let crc = batch.appendRecord(0, WalRecordType.metadata, metadataBytes);
  const marker = encodeSnapshotMarker({ index: 0, term: 0, confState: null });
  crc = batch.appendRecord(crc, WalRecordType.snapshot, marker);
  const founding = options.founding ?? [];
  for (const [i, { type, term, data }] of founding.entries()) {
    crc = batch.appendEntry(crc, type, term, i + 1, data, 0, data.length);
  }
  const hardState = options.hardState ?? { term: 0, vote: 0n, commit: 0 };
  if (hardState.term > 0) crc = batch.appendRecord(crc, WalRecordType.state, encodeHardState(hardState));
  try {
    await buildFirstSegment(fileSystem, directory, batch, options.segmentBytes ?? SEGMENT_BYTES);
  } catch (error) {
    throw new WalError("cannot create the log", directory, -1, error);
  }
  const segment: Segment = { sequence: 0, firstIndex: 0, path: path.join(directory, segmentName(0, 0)) };
  const tail: WalTail = {
    segments: [segment],
    offset: batch.usedBytes,
    crc,
    metadataBytes,
    torn: false,
    fileBytes: options.segmentBytes ?? SEGMENT_BYTES,
  };
  return new Wal(directory, tail, { hardState: { ...hardState }, lastIndex: founding.length }, options);
}

async function buildFirstSegment(
  fileSystem: WalFileSystem,
  directory: string,
  batch: WalBatch,
  segmentBytes: number,
): Promise<void> {
  const temporary = `${path.normalize(directory)}.tmp`;
  await fileSystem.remove(temporary);
  await fileSystem.makeDirectory(temporary);
  const file = fileSystem.open(path.join(temporary, segmentName(0, 0)), {
    create: true,
    write: true,
    durable: false,
  });
  try {
    // A hole, not written zeros: the first segment must not delay the start.
    await file.truncate(segmentBytes);
    await file.write(batch.bytes, 0, batch.usedBytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await fileSystem.syncDirectory(temporary);
  await fileSystem.remove(directory);
  await fileSystem.rename(temporary, directory);
  await fileSystem.syncDirectory(path.dirname(path.normalize(directory)));
}

/**
 * Opens an existing WAL and reads all entries above `afterIndex`, the index that storage already holds. A torn tail is repaired;
 * any other damage, a missing segment or a gap throws {@link WalError} and leaves all files as they are.
 */
export async function openWal(
  directory: string,
  afterIndex: number,
  options: WalOptions = {},
): Promise<{ wal: Wal; contents: WalContents }> {
  const fileSystem = options.fileSystem ?? nodeFileSystem;
  const { contents, tail } = readWal(fileSystem, directory, afterIndex, options.keptBefore);
  const last = tail.segments.at(-1) as Segment;
  try {
    if (contents.repaired !== null)
      options.log?.("warn", "repairing the log", { path: last.path, error: contents.repaired });
    await prepareTail(fileSystem, tail, options.segmentBytes ?? SEGMENT_BYTES);
    if (options.unsafeNoFsync !== true) await syncRead(fileSystem, last.path);
    for (const name of ["0.tmp", "1.tmp"]) await fileSystem.remove(path.join(directory, name));
    return { wal: new Wal(directory, tail, contents, options), contents };
  } catch (error) {
    throw error instanceof WalError ? error : new WalError("cannot open for writing", last.path, -1, error);
  }
}

/**
 * What was read must be durable before anything is built on it: a process that was killed may have left records and a segment's
 * name in the kernel's memory only, and later writes make nothing durable but themselves.
 */
async function syncRead(fileSystem: WalFileSystem, lastPath: string): Promise<void> {
  const file = fileSystem.open(lastPath, { create: false, write: true, durable: false });
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  await fileSystem.syncDirectory(path.dirname(lastPath));
}
