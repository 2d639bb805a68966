/** etcd's metrics, and ours, of what the other threads count: read from their memory at a scrape (`src/base/thread-meters.ts`). */
import type { Histogram, NumberMeter } from "../base/meters.ts";
import {
  APPLY_OPS,
  type ApplyMeters,
  type RaftMeters,
  type StorageMeters,
  type VitalsMeters,
  type WatchMeters,
} from "../base/thread-meters.ts";
import type { HistogramSeries, Metrics } from "./metrics.ts";

/** The meters of all threads. */
export interface ThreadMeters {
  readonly raft: RaftMeters;
  readonly apply: ApplyMeters;
  readonly storage: StorageMeters;
  readonly watch: WatchMeters;
  /** By name of the thread. */
  readonly vitals: Readonly<Record<string, VitalsMeters>>;
}

/** Threads that are never far from their event loop. */
const LOOPING = ["main", "raft"];

/** Adds the families. */
export function addThreadMetrics(metrics: Metrics, meters: ThreadMeters): void {
  const add = new Adder(metrics);
  addRaft(add, meters.raft);
  addApply(add, meters.apply);
  addStorage(add, meters.storage);
  addWatch(add, meters.watch);
  addVitals(metrics, meters.vitals);
}

class Adder {
  readonly metrics: Metrics;

  constructor(metrics: Metrics) {
    this.metrics = metrics;
  }

  counter(name: string, help: string, meter: NumberMeter): void {
    this.metrics.addCounter(name, help, () => meter.value);
  }

  gauge(name: string, help: string, meter: NumberMeter): void {
    this.metrics.addGauge(name, help, () => meter.value);
  }

  histogram(name: string, help: string, histogram: Histogram): void {
    this.metrics.addHistogram(name, help, () => [{ values: histogram.copy() }]);
  }
}

function addRaft(add: Adder, raft: RaftMeters): void {
  add.histogram("etcd_disk_wal_fsync_duration_seconds", "Durable writes of the WAL.", raft.walFlush);
  add.gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the WAL.", raft.walBytes);
  add.counter(
    "etcd_server_heartbeat_send_failures_total",
    "Heartbeats that this leader sent late.",
    raft.lateHeartbeats,
  );
  add.counter(
    "etcd_server_slow_read_indexes_total",
    "Rounds of reads that were not confirmed within the request time-out.",
    raft.slowReadRounds,
  );
  add.counter(
    "etcd_server_read_indexes_failed_total",
    "Rounds of reads that lost the leader they had asked.",
    raft.failedReadRounds,
  );
  add.histogram(
    "etcd_snap_db_fsync_duration_seconds",
    "Syncs of received snapshot files.",
    raft.snapshotSync,
  );
  add.histogram(
    "etcd_snap_db_save_total_duration_seconds",
    "From the first byte of a received snapshot file until it is durable.",
    raft.snapshotSave,
  );
  add.histogram("concord_wal_flush_size_bytes", "Bytes of one flush of the WAL.", raft.flushBytes);
  add.histogram("concord_wal_flush_entries", "Entries of one flush of the WAL.", raft.flushEntries);
}

function addApply(add: Adder, apply: ApplyMeters): void {
  add.counter("etcd_mvcc_put_total", "Puts applied.", apply.puts);
  add.counter("etcd_mvcc_range_total", "Ranges read.", apply.ranges);
  add.counter("etcd_mvcc_delete_total", "Deletions applied.", apply.deletes);
  add.counter("etcd_mvcc_txn_total", "Transactions of more than one operation.", apply.txns);
  add.gauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values put.", apply.putBytes);
  add.gauge("etcd_debugging_mvcc_keys_total", "Keys in the store.", apply.keys);
  add.counter(
    "etcd_server_slow_apply_total",
    "Applies longer than --warning-apply-duration.",
    apply.slowApplies,
  );
  add.metrics.addHistogram("etcd_server_apply_duration_seconds", "How long applying took.", () => [
    ...byOp(apply.applied, "true"),
    ...byOp(apply.applyFailed, "false"),
  ]);
  add.metrics.addHistogram("etcd_server_range_duration_seconds", "How long reading ranges took.", () =>
    bySuccess(apply.range, apply.rangeFailed),
  );
  add.histogram("etcd_mvcc_hash_duration_seconds", "Hashes of the whole database.", apply.hash);
  add.histogram(
    "etcd_mvcc_hash_rev_duration_seconds",
    "Hashes of the keys at a revision.",
    apply.hashRevision,
  );
  add.histogram(
    "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
    "Compactions from their beginning to the last deletion.",
    apply.compactionMs,
  );
  add.histogram(
    "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
    "Slices of compactions: applying waits for one at most.",
    apply.compactionPauseMs,
  );
  add.gauge(
    "etcd_debugging_mvcc_db_compaction_last",
    "End of the last compaction, in seconds since the Unix epoch.",
    apply.compactionEnded,
  );
  add.histogram("concord_apply_batch_records", "Records that apply took in one round.", apply.batchRecords);
}

function byOp(histograms: readonly Histogram[], success: string): HistogramSeries[] {
  return histograms
    .map((histogram, i) => ({
      values: histogram.copy(),
      labels: { op: APPLY_OPS[i], success, version: "v3" },
    }))
    .filter(hasCounted);
}

/** As in etcd, label values appear with their first observation. */
export function hasCounted({ values }: HistogramSeries): boolean {
  return values.counts.some((count) => count > 0);
}

function bySuccess(succeeded: Histogram, failed: Histogram): HistogramSeries[] {
  return [
    { values: succeeded.copy(), labels: { success: "true" } },
    { values: failed.copy(), labels: { success: "false" } },
  ].filter(hasCounted);
}

function addStorage(add: Adder, storage: StorageMeters): void {
  add.histogram("etcd_disk_backend_commit_duration_seconds", "Commits of the database.", storage.commit);
  add.counter(
    "etcd_debugging_mvcc_db_compaction_keys_total",
    "Revisions that compactions removed from the database.",
    storage.compactedRevisions,
  );
  add.histogram("concord_storage_commit_changes", "Puts and deletions of one commit.", storage.commitChanges);
}

function addWatch(add: Adder, watch: WatchMeters): void {
  add.gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams.", watch.streams);
  add.gauge("etcd_debugging_mvcc_watcher_total", "Watchers.", watch.watchers);
  add.gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind.", watch.behind);
  add.counter("etcd_debugging_mvcc_events_total", "Events sent to watchers.", watch.events);
}

function addVitals(metrics: Metrics, vitals: ThreadMeters["vitals"]): void {
  const threads = Object.entries(vitals);
  const add = (
    name: string,
    help: string,
    type: "gauge" | "counter",
    read: (meters: VitalsMeters) => NumberMeter,
  ): void => {
    const collect = (): { value: number; labels: { thread: string } }[] =>
      threads.map(([thread, meters]) => ({ value: read(meters).value, labels: { thread } }));
    metrics.add({ name, help, type, collect });
  };
  add("concord_thread_cpu_seconds_total", "CPU time of each thread.", "counter", (one) => one.cpuSeconds);
  add(
    "concord_thread_heap_used_bytes",
    "Objects in each thread's heap.",
    "gauge",
    (one) => one.heapUsedBytes,
  );
  add(
    "concord_thread_heap_size_bytes",
    "What each thread's heap takes.",
    "gauge",
    (one) => one.heapSizeBytes,
  );
  metrics.addHistogram("concord_event_loop_delay_seconds", "How late the timers of an event loop are.", () =>
    threads
      .filter(([thread]) => LOOPING.includes(thread))
      .map(([thread, { loopDelay }]) => ({ values: loopDelay.copy(), labels: { thread } })),
  );
  metrics.addHistogram(
    "concord_thread_turn_seconds",
    "Rounds of the threads that block, if they had work.",
    () =>
      threads
        .filter(([thread]) => !LOOPING.includes(thread))
        .map(([thread, { turn }]) => ({ values: turn.copy(), labels: { thread } })),
  );
  metrics.addHistogram("concord_gc_pause_seconds", "Pauses for garbage collection.", () =>
    threads.flatMap(([thread, { gcMinor, gcMajor }]) => [
      { values: gcMinor.copy(), labels: { kind: "minor", thread } },
      { values: gcMajor.copy(), labels: { kind: "major", thread } },
    ]),
  );
}
