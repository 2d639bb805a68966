/**
 * Compaction without being asked (`--auto-compaction-mode`, `--auto-compaction-retention`), with etcd's schedules:
 *
 * - periodic: the revision is noted ten times in each period, or in each hour of a longer one. Once a whole period is noted, what was
 *   current that long ago is compacted to: every period, or every hour of a longer one; what fails is tried again at the next note.
 * - revision: every five minutes, to the current revision less so many.
 *
 * Every member keeps the notes, so that a new leader knows them; the leader alone compacts.
 */

import type { Logger } from "../telemetry/logger.ts";

/** What both modes need. Time is the caller's. */
export interface CompactorOptions {
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
  /** Resolves after so long; rejects when the compactor is to end. */
  readonly sleep: (ms: number) => Promise<void>;
  /** The current revision. */
  readonly revision: () => number;
  readonly isLeader: () => boolean;
  /** Compacts; resolves also when that had been done before. */
  readonly compact: (revision: number) => Promise<void>;
  readonly log: Logger;
}

const HOUR_MS = 3_600_000;
/** Notes in a period, or in each hour of a longer one. */
const NOTES_PER_INTERVAL = 10;
const REVISION_INTERVAL_MS = 5 * 60_000;

/** Runs until `sleep` rejects. @param periodMs how long revisions stay */
export async function compactPeriodically(options: CompactorOptions, periodMs: number): Promise<never> {
  const { nowMs, sleep, revision, isLeader, log } = options;
  const intervalMs = Math.min(periodMs, HOUR_MS);
  const noteMs = intervalMs / NOTES_PER_INTERVAL;
  const notesMax = Math.floor(periodMs / noteMs) + 1;
  const notes: number[] = [];
  const period = `${periodMs / 1000}s`;
  let lastRevision = 0;
  let lastSuccessMs = nowMs();
  let waitMs = periodMs;
  for (;;) {
    notes.push(revision());
    if (notes.length > notesMax) notes.shift();
    await sleep(noteMs);
    const target = notes[0];
    if (!isLeader() || nowMs() - lastSuccessMs < waitMs || target === lastRevision) continue;
    waitMs = intervalMs;
    const fields = { revision: target, "compact-period": period };
    log.info("starting auto periodic compaction", fields);
    const startedMs = nowMs();
    try {
      await options.compact(target);
      log.info("completed auto periodic compaction", { ...fields, took: `${nowMs() - startedMs}ms` });
      lastRevision = target;
      lastSuccessMs = nowMs();
    } catch (error) {
      log.warn("failed auto periodic compaction", {
        ...fields,
        "retry-interval": `${noteMs / 1000}s`,
        error,
      });
    }
  }
}

/** Runs until `sleep` rejects. @param kept how many revisions stay */
export async function compactByRevision(options: CompactorOptions, kept: number): Promise<never> {
  const { nowMs, sleep, revision, isLeader, log } = options;
  let lastRevision = 0;
  for (;;) {
    await sleep(REVISION_INTERVAL_MS);
    const target = revision() - kept;
    if (!isLeader() || target <= 0 || target === lastRevision) continue;
    const fields = { revision: target, "revision-compaction-retention": kept };
    log.info("starting auto revision compaction", fields);
    const startedMs = nowMs();
    try {
      await options.compact(target);
      lastRevision = target;
      log.info("completed auto revision compaction", { ...fields, took: `${nowMs() - startedMs}ms` });
    } catch (error) {
      const interval = `${REVISION_INTERVAL_MS / 1000}s`;
      log.warn("failed auto revision compaction", { ...fields, "retry-interval": interval, error });
    }
  }
}
