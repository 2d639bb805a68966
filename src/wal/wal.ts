/**
 * The write-ahead log: etcd's files byte for byte, so that either program reads what the other wrote.
 *
 * It owns `<data-dir>/member/wal`: segments, the batch that gathers, the batch being flushed. It never interprets an entry's
 * data and never acknowledges anything before the disk has it. Order: records are on the disk in the order of the append
 * calls; a batch is durable as a whole or, after a crash, cut off from its first missing record on.
 *
 * ```
 *   append…  append…                      append…
 *   ┌────────────────┐ flush()            ┌────────────────┐ flush()
 *   │ open batch A   │──────▶ in flight   │ open batch B   │──────▶ …     one flush in flight, the next batch gathers
 *   └────────────────┘        └─ durable ─▶ handed to the caller, who gives it back with recycle()
 * ```
 *
 * A write or sync error is final: the WAL fails every later call, since nobody knows what the disk holds then.
 * Read next: `open-wal.ts` (start-up), with `recovery.ts` and `damage.ts`; `wal-format.ts` (bytes), `wal-batch.ts` (encoding),
 * `segment-pipeline.ts`.
 */

import * as path from "node:path";
import { assert } from "../base/assert.ts";
import type { LogStorage } from "../raft/log-storage.ts";
import type { HardState } from "../raft/raft.ts";
import { BatchPool } from "./batch-pool.ts";
import { nodeFileSystem } from "./node-file-system.ts";
import type { WalTail } from "./recovery.ts";
import { SegmentPipeline } from "./segment-pipeline.ts";
import type { Segment } from "./segments.ts";
import type { WalBatch } from "./wal-batch.ts";
import { WalError } from "./wal-error.ts";
import type { WalFile, WalFileSystem } from "./wal-file-system.ts";
import {
  SEGMENT_BYTES,
  WalRecordType,
  encodeHardState,
  encodeSnapshotMarker,
  segmentName,
} from "./wal-format.ts";
import type { SnapshotMarker } from "./wal-format.ts";

/** etcd warns about a sync that takes longer. */
const SLOW_SYNC_MS = 1000;
/** A disk is quick while this many flushes in a row took less than {@link QUICK_FLUSH_MS}: then a small one may be waited for. */
const QUICK_FLUSHES = 16;
const QUICK_FLUSH_MS = 1;
const QUICK_BYTES_MAX = 4096;
/** etcd's default of --max-wals. */
export const SEGMENTS_KEPT_DEFAULT = 5;

export type WalLogLevel = "debug" | "info" | "warn" | "error";
export type WalLog = (level: WalLogLevel, message: string, fields: Record<string, unknown>) => void;

export interface WalOptions {
  /** --unsafe-no-fsync: data reaches the disk when the kernel likes. */
  readonly unsafeNoFsync?: boolean;
  /** --max-wals: segments kept at least, even when nothing needs them; 0 keeps all. */
  readonly segmentsKept?: number;
  readonly segmentBytes?: number;
  readonly fileSystem?: WalFileSystem;
  readonly log?: WalLog;
  /** Told of each durable write: for etcd_disk_wal_fsync_duration_seconds and etcd_disk_wal_write_bytes_total. */
  readonly onFlush?: (tookMs: number, bytes: number, entries: number) => void;
  /** Clock of the durations, ms. */
  readonly now?: () => number;
  /** Entries at and before the index that storage holds which {@link openWal} reads too, if they are there: for followers that lag. */
  readonly keptBefore?: number;
}

/** The writer. One thread uses it; nothing in it blocks. */
export class Wal implements LogStorage {
  readonly #directory: string;
  readonly #fileSystem: WalFileSystem;
  readonly #options: WalOptions;
  readonly #segmentBytes: number;
  readonly #metadataBytes: Uint8Array;
  readonly #pipeline: SegmentPipeline;
  readonly #segments: Segment[];
  #file: WalFile;
  /** Where the next batch goes in the segment it belongs to. */
  #position: number;
  /** Where the data of the current segment ends, once no more goes there. */
  #segmentEnd = 0;
  /** Running CRC behind the last appended record. */
  #crc: number;
  /** The same behind what opens the open batch's segment: where the batch begins anew when it is void. */
  #openCrc: number;
  #lastIndex: number;
  #durableIndex: number;
  /** Entries above this were taken out of the log while the flush in flight was writing them. */
  #voidAbove = Number.POSITIVE_INFINITY;
  /** As last written. */
  #hardState: HardState;
  /** Its commit index when the last flush began, and when the last one began that has ended. */
  #flushedCommit: number;
  readonly #now: () => number;
  /** Flushes in a row that the disk was quick about. */
  #quickFlushes = 0;
  #durableCommit: number;
  readonly #batches = new BatchPool();
  #open = this.#batches.take();
  #inFlight: WalBatch | null = null;
  #failure: WalError | null = null;
  #releasing = false;

  /** For `createWal` and `openWal`. */
  constructor(
    directory: string,
    tail: WalTail,
    state: { hardState: HardState; lastIndex: number },
    options: WalOptions,
  ) {
    this.#directory = directory;
    this.#fileSystem = options.fileSystem ?? nodeFileSystem;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.#metadataBytes = tail.metadataBytes;
    this.#pipeline = new SegmentPipeline(this.#fileSystem, directory, this.#segmentBytes);
    this.#segments = [...tail.segments];
    this.#file = this.#openForAppend(this.#currentSegment().path, false);
    this.#position = tail.offset;
    this.#crc = tail.crc;
    this.#openCrc = tail.crc;
    this.#lastIndex = state.lastIndex;
    this.#durableIndex = state.lastIndex;
    this.#hardState = { ...state.hardState };
    this.#flushedCommit = state.hardState.commit;
    this.#durableCommit = state.hardState.commit;
  }

  /** Bytes appended and not yet durable. */
  get pendingBytes(): number {
    return this.#open.usedBytes + (this.#inFlight?.usedBytes ?? 0);
  }

  /** True if the open batch holds entries, a new term or vote, or a snapshot marker. */
  get needsFlush(): boolean {
    return this.#open.mustSync;
  }

  get isFlushing(): boolean {
    return this.#inFlight !== null;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** Everything up to here survives a crash. */
  get durableIndex(): number {
    return this.#durableIndex;
  }

  /** {@inheritDoc LogStorage.durableCommit} */
  get durableCommit(): number {
    return this.#durableCommit;
  }

  /** Segments on disk, oldest first. */
  get segmentPaths(): string[] {
    return this.#segments.map((segment) => segment.path);
  }

  /** The batch that gathers; the one that the next {@link flush} resolves with. */
  get openBatch(): WalBatch {
    return this.#open;
  }

  /** {@inheritDoc EntrySink.appendEntry} */
  appendEntry(
    type: number,
    term: number,
    index: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.#crc = this.#open.appendEntry(this.#crc, type, term, index, bytes, start, end);
    this.#lastIndex = index;
    if (index <= this.#durableIndex) this.#durableIndex = index - 1;
  }

  /**
   * Appends the hard state if it differs from the last one. Its commit index is written no higher than what was durable at this
   * moment: Raft allows it to lag, and so it proves at start-up which entries must be there (see `damage.ts`).
   */
  appendHardState(state: HardState, mustSync = false): void {
    const last = this.#hardState;
    const commit = Math.max(last.commit, Math.min(state.commit, this.#durableIndex));
    const isNewVote = state.term !== last.term || state.vote !== last.vote;
    if (isNewVote || commit !== last.commit) {
      this.#hardState = { term: state.term, vote: state.vote, commit };
      this.#crc = this.#open.appendRecord(this.#crc, WalRecordType.state, encodeHardState(this.#hardState));
    }
    // A commit index that was flushed, or is being flushed, needs no flush of its own.
    if (isNewVote || (mustSync && commit > this.#flushedCommit)) this.#open.mustSync = true;
  }

  /** Appends a marker: everything up to its index is durable elsewhere. Once flushed, {@link releaseTo} may follow. */
  appendSnapshot(marker: SnapshotMarker): void {
    this.#crc = this.#open.appendRecord(this.#crc, WalRecordType.snapshot, encodeSnapshotMarker(marker));
    this.#open.snapshotIndex = marker.index;
    this.#open.mustSync = true;
  }

  /**
   * A snapshot takes the place of the log: the open batch is void, and the next entry is the one behind the marker. The marker is the
   * first record of its batch, so that a torn write of that batch never looks like damage in front of a durable marker.
   */
  startAfter(marker: SnapshotMarker): void {
    this.#open.rewind();
    this.#crc = this.#openCrc;
    this.appendSnapshot(marker);
    this.#crc = this.#open.appendRecord(this.#crc, WalRecordType.state, encodeHardState(this.#hardState));
    this.#lastIndex = marker.index;
    this.#durableIndex = Math.min(this.#durableIndex, marker.index);
    this.#voidAbove = Math.min(this.#voidAbove, marker.index);
  }

  /**
   * Makes the open batch durable; later appends gather in the next. Only one flush at a time. Resolves with the batch, which the
   * caller owns until {@link recycle}; rejects with {@link WalError}, and then nothing more can be written.
   * @param mayBlock nobody minds if the thread waits for the disk: done if that has been quick lately
   */
  flush(mayBlock = false): Promise<WalBatch> {
    assert(this.#inFlight === null, "one flush at a time");
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const batch = this.#open;
    const position = this.#position;
    this.#inFlight = batch;
    this.#open = this.#batches.take();
    this.#position = position + batch.usedBytes;
    this.#voidAbove = Number.POSITIVE_INFINITY;
    this.#flushedCommit = this.#hardState.commit;
    if (this.#position >= this.#segmentBytes) this.#cut();
    else if (this.#position * 2 >= this.#segmentBytes) this.#pipeline.prepare();
    this.#openCrc = this.#crc;
    return this.#write(batch, position, this.#lastIndex, mayBlock);
  }

  /** Takes back a batch that {@link flush} gave out; its bytes are no longer valid. */
  recycle(batch: WalBatch): void {
    this.#batches.recycle(batch);
  }

  /**
   * Deletes the oldest segments that hold nothing above `index`, keeping `segmentsKept`. Call it only when storage has
   * acknowledged, durably, everything up to `index`: deleting on *sent* loses entries if the process dies in between.
   */
  async releaseTo(index: number): Promise<void> {
    const kept = this.#options.segmentsKept ?? SEGMENTS_KEPT_DEFAULT;
    if (kept === 0 || this.#releasing) return;
    this.#releasing = true;
    try {
      let removed = 0;
      while (this.#segments.length > kept && this.#segments[1].firstIndex <= index) {
        const segment = this.#segments.shift() as Segment;
        await this.#fileSystem.remove(segment.path);
        this.#options.log?.("info", "purged", { path: segment.path });
        removed++;
      }
      if (removed > 0) await this.#fileSystem.syncDirectory(this.#directory);
    } finally {
      this.#releasing = false;
    }
  }

  /** Flushes what is open and closes the files. Not while a flush is in flight. */
  async close(): Promise<void> {
    assert(this.#inFlight === null, "close during a flush");
    // A new segment's head alone need not be written: the next start cuts again.
    if (this.#failure === null && this.#open.usedBytes > this.#open.headBytes) await this.flush();
    await this.#pipeline.close();
    await this.#file.close();
  }

  /** Lets the next batch begin a new segment: running CRC, metadata, hard state. Decided now since its records chain from there. */
  #cut(): void {
    this.#segmentEnd = this.#position;
    this.#position = 0;
    const batch = this.#open;
    batch.opensSegment = true;
    batch.appendCrc(this.#crc);
    this.#crc = batch.appendRecord(this.#crc, WalRecordType.metadata, this.#metadataBytes);
    if (this.#hardState.term > 0) {
      this.#crc = batch.appendRecord(this.#crc, WalRecordType.state, encodeHardState(this.#hardState));
    }
    batch.headBytes = batch.usedBytes;
    batch.segmentFirstIndex = this.#lastIndex + 1;
  }

  async #write(batch: WalBatch, position: number, lastIndex: number, mayBlock: boolean): Promise<WalBatch> {
    const started = this.#now();
    try {
      if (batch.opensSegment) await this.#writeNextSegment(batch);
      else if (mayBlock && this.#file.writeNow !== undefined && this.#isQuick(batch))
        this.#file.writeNow(batch.bytes, 0, batch.usedBytes, position);
      else await this.#file.write(batch.bytes, 0, batch.usedBytes, position);
    } catch (error) {
      this.#failure =
        error instanceof WalError
          ? error
          : new WalError("cannot write", this.#currentSegment().path, position, error);
      throw this.#failure;
    } finally {
      this.#inFlight = null;
    }
    this.#durableCommit = this.#flushedCommit;
    this.#noteFlushed(this.#now() - started, batch);
    // An append during the flush may have replaced entries of this batch.
    const replacedFrom = this.#open.count > 0 ? this.#open.firstIndex - 1 : lastIndex;
    this.#durableIndex = Math.min(lastIndex, replacedFrom, this.#voidAbove);
    return batch;
  }

  /** Two trips between threads cost more than this write will. */
  #isQuick(batch: WalBatch): boolean {
    return this.#quickFlushes >= QUICK_FLUSHES && batch.usedBytes <= QUICK_BYTES_MAX;
  }

  /** Ends the current segment and writes `batch` as the beginning of the next, which gets its name once it is durable. */
  async #writeNextSegment(batch: WalBatch): Promise<void> {
    const old = this.#file;
    await old.truncate(this.#segmentEnd);
    await this.#sync(old);
    const next = await this.#pipeline.take();
    const file = this.#openForAppend(next.path, !next.isPrepared);
    this.#file = file;
    const sequence = this.#currentSegment().sequence + 1;
    const segmentPath = path.join(this.#directory, segmentName(sequence, batch.segmentFirstIndex));
    try {
      if (!next.isPrepared) await file.truncate(this.#segmentBytes);
      await file.write(batch.bytes, 0, batch.usedBytes, 0);
      await this.#sync(file);
      await this.#fileSystem.rename(next.path, segmentPath);
      if (this.#options.unsafeNoFsync !== true) await this.#fileSystem.syncDirectory(this.#directory);
    } catch (error) {
      throw new WalError("cannot begin a segment", segmentPath, -1, error);
    }
    this.#segments.push({ sequence, firstIndex: batch.segmentFirstIndex, path: segmentPath });
    this.#options.log?.("info", "created a new WAL segment", { path: segmentPath });
    await old.close();
  }

  #sync(file: WalFile): Promise<void> {
    return this.#options.unsafeNoFsync === true ? Promise.resolve() : file.sync();
  }

  #noteFlushed(tookMs: number, { usedBytes, count }: WalBatch): void {
    this.#quickFlushes = tookMs < QUICK_FLUSH_MS ? this.#quickFlushes + 1 : 0;
    this.#options.onFlush?.(tookMs, usedBytes, count);
    if (tookMs < SLOW_SYNC_MS) return;
    this.#options.log?.("warn", "slow fdatasync", {
      took: `${(tookMs / 1000).toFixed(3)}s`,
      "expected-duration": "1s",
    });
  }

  #currentSegment(): Segment {
    return this.#segments[this.#segments.length - 1];
  }

  #openForAppend(filePath: string, create: boolean): WalFile {
    try {
      return this.#fileSystem.open(filePath, {
        create,
        write: true,
        durable: this.#options.unsafeNoFsync !== true,
      });
    } catch (error) {
      throw new WalError("cannot open for writing", filePath, -1, error);
    }
  }
}
