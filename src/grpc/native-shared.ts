/** What the connections of one native transport share: the table, the limits, and pools. */
import { PENDING_BYTES_TOTAL_MAX } from "../http2/limits.ts";
import { ChunkPool } from "../http2/output-queue.ts";
import { AssemblyTotal } from "./assembly-budget.ts";
import type { ParkedTotals } from "./call-pacer.ts";
import { DEADLINE_SWEEP_MS, DeadlineWheel } from "./deadline-wheel.ts";
import type { DeadlineEntry } from "./deadline-wheel.ts";
import { NativeCall } from "./native-call.ts";
import type { PendingTotal } from "../http2/sender.ts";
import type { NativeConnection } from "./native-connection.ts";
import type {
  CallTracer,
  CallWatcher,
  EndedCall,
  GrpcCounters,
  MethodCounters,
  ServiceTable,
  TransportLimits,
} from "./service.ts";

/** Call objects kept for reuse. */
const POOLED_CALLS_MAX = 4_096;

export class NativeShared {
  readonly services: ServiceTable;
  readonly limits: TransportLimits;
  readonly counters: GrpcCounters;
  /** Null: no call is traced. */
  readonly tracer: CallTracer | null;
  readonly chunks = new ChunkPool((bytes) => Buffer.allocUnsafeSlow(bytes));
  /** Connections that have output since the last {@link flush}. */
  readonly #dirty: NativeConnection[] = [];
  readonly #freeCalls: NativeCall[] = [];
  readonly parked: ParkedTotals = { calls: 0, bytes: 0 };
  readonly pendingTotal: PendingTotal = { bytes: 0 };
  readonly assembled: AssemblyTotal;
  readonly #onPendingExceeded: () => void;
  readonly #watcher: CallWatcher | null;
  /** Number of the next connection whose client has no address. */
  nextUnnamed = 0;
  /** Time of the current batch of answers, in ms. */
  nowMs = 0;
  /** Beyond this a unary call is slow; of the same batch. */
  slowMs = Infinity;
  readonly #deadlines = new DeadlineWheel();
  /** A timer runs; it does while any deadline is set. */
  #sweepArmed = false;

  /** `onPendingExceeded` gives up whichever connection has most DATA that waits. */
  constructor(
    options: {
      readonly services: ServiceTable;
      readonly limits: TransportLimits;
      readonly counters?: GrpcCounters;
      readonly tracer?: CallTracer;
      readonly watcher?: CallWatcher;
    },
    onPendingExceeded: () => void,
  ) {
    this.services = options.services;
    this.limits = options.limits;
    this.assembled = new AssemblyTotal(options.limits.assemblyBytesTotalMax);
    this.counters = options.counters ?? new Map<string, MethodCounters>();
    this.tracer = options.tracer ?? null;
    this.#watcher = options.watcher ?? null;
    this.#onPendingExceeded = onPendingExceeded;
  }

  acquireCall(owner: NativeConnection): NativeCall {
    const call = this.#freeCalls.pop() ?? new NativeCall();
    call.reset(owner);
    return call;
  }

  /** Takes back a call that its handler ended. */
  releaseCall(call: NativeCall): void {
    if (this.#freeCalls.length < POOLED_CALLS_MAX) this.#freeCalls.push(call);
  }

  tellSlow(call: NativeCall, ended: EndedCall): void {
    this.#watcher?.onSlow(call, ended);
  }

  /** A batch of answers begins. */
  beginBatch(nowMs: number): void {
    this.nowMs = nowMs;
    if (this.#watcher !== null) this.slowMs = this.#watcher.thresholdMs();
  }

  markDirty(connection: NativeConnection): void {
    if (this.#dirty.length === 0) this.beginBatch(performance.now());
    this.#dirty.push(connection);
  }

  /** One socket write for each connection that has output. */
  flush(): void {
    for (let i = 0; i < this.#dirty.length; i++) this.#dirty[i].flush();
    this.#dirty.length = 0;
    if (this.pendingTotal.bytes > PENDING_BYTES_TOTAL_MAX) this.#onPendingExceeded();
  }

  addDeadline(entry: DeadlineEntry): void {
    this.#deadlines.add(entry, performance.now());
    if (!this.#sweepArmed) this.#armSweep();
  }

  removeDeadline(entry: DeadlineEntry): void {
    this.#deadlines.remove(entry);
  }

  readonly #sweepDeadlines = (): void => {
    this.#sweepArmed = false;
    this.#deadlines.sweep(performance.now());
    this.flush();
    if (this.#deadlines.size > 0) this.#armSweep();
  };

  #armSweep(): void {
    this.#sweepArmed = true;
    setTimeout(this.#sweepDeadlines, DEADLINE_SWEEP_MS).unref();
  }
}
