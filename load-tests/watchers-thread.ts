/**
 * Thread entry: many watchers on a few connections, so that reading their events does not delay the writes on the main thread.
 * Every event is counted and every watcher's revisions are checked; what is wrong ends the thread with an error. `watchers.ts`
 * starts it and says what it counts.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { parentPort, workerData } from "node:worker_threads";
import { WatchRequestSchema, type WatchRequest } from "../src/proto/gen/rpc_pb.ts";
import { LoadConnection } from "./generator-connection.ts";
import type { LoadStream, StreamReader } from "./generator-stream.ts";
import { Latencies } from "./latencies.ts";
import { framed, keyName } from "./requests.ts";
import { sharedNow } from "./shared-clock.ts";
import { WatchAnswer, type EventSink } from "./watch-answer.ts";
import { Counter, type WatchersCommand, type WatchersReport, type WatchersTask } from "./watchers.ts";

const WATCH_PATH = "/etcdserverpb.Watch/Watch";
// Requests of a stream are sent in pieces of about this size.
const BATCH_BYTES = 16_384;

const task = workerData as WatchersTask;
const counters = new Int32Array(task.counters);
let latencies = new Latencies();

/** The watchers of one stream, their ids counted from 1. */
class WatchStream implements StreamReader, EventSink {
  readonly #stream: LoadStream;
  readonly #answer = new WatchAnswer(this);
  readonly #first: number;
  readonly #count: number;
  /** By watch id. */
  readonly #lastRevision: Float64Array;
  readonly #received: Int32Array;

  constructor(connection: LoadConnection, first: number, count: number) {
    this.#first = first;
    this.#count = count;
    this.#lastRevision = new Float64Array(count + 1);
    this.#received = new Int32Array(count + 1);
    this.#stream = connection.openStream(WATCH_PATH, this);
  }

  create(): void {
    this.#sendForAll((watchId) => createRequest(this.#first + watchId - 1, watchId));
  }

  cancel(): void {
    this.#lastRevision.fill(0);
    this.#sendForAll((watchId) =>
      create(WatchRequestSchema, {
        requestUnion: { case: "cancelRequest", value: { watchId: BigInt(watchId) } as never },
      }),
    );
  }

  #sendForAll(request: (watchId: number) => WatchRequest): void {
    let batch: Buffer[] = [];
    let bytes = 0;
    for (let watchId = 1; watchId <= this.#count; watchId++) {
      const body = framed(toBinary(WatchRequestSchema, request(watchId)));
      batch.push(body);
      bytes += body.length;
      if (bytes < BATCH_BYTES && watchId < this.#count) continue;
      this.#stream.send(Buffer.concat(batch));
      batch = [];
      bytes = 0;
    }
  }

  onMessage(bytes: Buffer, start: number, end: number): void {
    this.#answer.read(bytes, start, end);
    if (this.#answer.created) counters[Counter.created]++;
    if (this.#answer.canceled) this.#onCanceled();
    signalIfReached();
  }

  onEvent(watchId: number, modRevision: number, bytes: Buffer, valueStart: number): void {
    const last = this.#lastRevision[watchId];
    const expected = last === 0 ? task.startRevision : last + 1;
    if (expected !== 0 && modRevision !== expected)
      throw new Error(`watcher ${this.#first + watchId} got revision ${modRevision}; ${expected} was due`);
    this.#lastRevision[watchId] = modRevision;
    counters[Counter.events]++;
    if (++this.#received[watchId] === task.goal) counters[Counter.reached]++;
    if (task.timed) latencies.add(sharedNow() - bytes.readDoubleLE(valueStart));
  }

  onEnd(grpcStatus: string): void {
    throw new Error(`a watch stream ended with grpc-status ${grpcStatus}`);
  }

  #onCanceled(): void {
    const { cancelReason, watchId } = this.#answer;
    if (cancelReason !== "") throw new Error(`watch ${watchId} was canceled: ${cancelReason}`);
    counters[Counter.canceled]++;
  }
}

function createRequest(index: number, watchId: number): WatchRequest {
  const value = {
    key: task.distinctKeys ? keyName(task.key, index) : Buffer.from(task.key),
    rangeEnd: task.rangeEnd,
    startRevision: BigInt(task.startRevision),
    watchId: BigInt(watchId),
  };
  return create(WatchRequestSchema, { requestUnion: { case: "createRequest", value: value as never } });
}

/** Wakes the parent when what it waits for has come. Only this thread counts, so plain additions are enough before it. */
function signalIfReached(): void {
  const reached = Atomics.load(counters, Atomics.load(counters, Counter.awaited));
  if (reached < Atomics.load(counters, Counter.awaitedValue)) return;
  Atomics.store(counters, Counter.awaitedValue, NOTHING_AWAITED);
  Atomics.add(counters, Counter.signal, 1);
  Atomics.notify(counters, Counter.signal);
}

const NOTHING_AWAITED = 0x7fff_ffff;

const streams: WatchStream[] = [];
for (let c = 0; c < task.connections; c++) {
  const connection = await LoadConnection.open(task.address);
  connection.closed.catch((error: Error) =>
    setImmediate(() => {
      throw error;
    }),
  );
  const first = Math.floor((c * task.watchers) / task.connections);
  const end = Math.floor(((c + 1) * task.watchers) / task.connections);
  streams.push(new WatchStream(connection, first, end - first));
}
parentPort?.on("message", (command: WatchersCommand) => {
  if (command === "create") for (const stream of streams) stream.create();
  if (command === "cancel") for (const stream of streams) stream.cancel();
  if (command === "report") report();
});
tell({ kind: "connected" });

function report(): void {
  tell({ kind: "latencies", latencies: latencies.percentiles() });
  latencies = new Latencies();
}

function tell(message: WatchersReport): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort, not a window
  parentPort?.postMessage(message);
}
