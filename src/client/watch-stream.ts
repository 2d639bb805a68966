/**
 * All watches of a client over one gRPC stream, resumed on another connection when it breaks.
 *
 * ```
 *            request sent           created                        slow: cancelled at the server
 *   waiting ──────────────▶ pending ────────▶ active ──────────────────────────▶ parked
 *      ▲                       │                │                                   │
 *      ├───── stream lost ─────┴────────────────┘                                   │
 *      └────────────────────────────── all was read ────────────────────────────────┘
 * ```
 * A watch is created again at the revision behind what was handed over, so every event is handed over once, in order. The server
 * answers creations in the order of the requests. What waits for its reader is bounded: a watcher that falls too far behind is
 * parked, and the others of the stream go on.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { GrpcCode } from "../base/errors.ts";
import { type Watch, type WatchCreateRequestSchema, type WatchResponse } from "../proto/gen/rpc_pb.ts";
import { EtcdError } from "./etcd-error.ts";
import type { OpenStream, StreamCall } from "./stream-call.ts";
import { WatchCanceledError, Watcher } from "./watcher.ts";

type WatchMethod = (typeof Watch)["method"]["watch"];

/** What to watch: fields of the creation request. `watchId` is the stream's own affair. */
export type WatchOptions = Omit<MessageInitShape<typeof WatchCreateRequestSchema>, "watchId" | "$typeName">;

/** Watch id of responses that are about the whole stream, or about a watch that was refused. */
const NO_WATCH = -1n;
/** Pause before a lost stream is opened again, and how much longer each further one is, up to a maximum. */
const PAUSE_MS = 1;
const PAUSE_GROWTH = 1.25;
const PAUSE_MS_MAX = 100;

/** One watch of the stream. */
interface Entry {
  readonly options: WatchOptions;
  readonly watcher: Watcher;
  /** Where to begin when it is created again; 0 = behind the revision of that moment. */
  nextRevision: bigint;
  /** The server's; undefined unless it is active. */
  id: bigint | undefined;
  /** The user cancelled it while its creation was under way. */
  cancelled: boolean;
  /** First parts of a response that comes in fragments. */
  fragments: WatchResponse | undefined;
}

/** A stream of watches. Opened with the first one, closed with the last. */
export class WatchStream {
  readonly #open: OpenStream<WatchMethod>;
  #call: StreamCall<WatchMethod> | undefined;
  #opening = false;
  #closed = false;
  #pauseMs = PAUSE_MS;
  readonly #active = new Map<bigint, Entry>();
  /** Creations that the server has not answered, in order. */
  #pending: Entry[] = [];
  /** To be created as soon as there is a stream. */
  #waiting: Entry[] = [];
  /** Cut off at the server until their readers have caught up. */
  readonly #parked = new Set<Entry>();
  #progressWanted = false;

  constructor(open: OpenStream<WatchMethod>) {
    this.#open = open;
  }

  /** Begins a watch. It does not wait for the server: see {@link Watcher.created}. */
  watch(options: WatchOptions): Watcher {
    const entry: Entry = {
      options,
      watcher: new Watcher({
        onDrained: () => this.#unpark(entry),
        onCancel: () => this.#cancel(entry),
      }),
      nextRevision: options.startRevision ?? 0n,
      id: undefined,
      cancelled: false,
      fragments: undefined,
    };
    if (this.#closed) entry.watcher.end(closedError());
    else this.#create(entry);
    return entry.watcher;
  }

  /** Asks the server to tell how far the watches are. Every active one gets a notification, once all of them are up to date. */
  requestProgress(): void {
    if (this.#call === undefined) {
      this.#progressWanted = true;
      void this.#connect();
    } else this.#call.send({ requestUnion: { case: "progressRequest", value: {} } });
  }

  /** Ends all watches with an error. */
  close(): void {
    this.#closed = true;
    this.#endAll(closedError());
  }

  #create(entry: Entry): void {
    if (this.#call === undefined) {
      this.#waiting.push(entry);
      void this.#connect();
      return;
    }
    this.#pending.push(entry);
    const value = { ...entry.options, startRevision: entry.nextRevision };
    this.#call.send({ requestUnion: { case: "createRequest", value } });
  }

  async #connect(): Promise<void> {
    if (this.#opening || this.#closed) return;
    this.#opening = true;
    try {
      const call = await this.#open({
        onMessage: (response) => this.#onResponse(response),
        onEnd: (error) => this.#onLost(error),
      });
      this.#opening = false;
      if (this.#closed || this.#isIdle()) return call.cancel();
      this.#call = call;
      for (const entry of this.#waiting.splice(0)) this.#create(entry);
      if (this.#progressWanted) this.requestProgress();
      this.#progressWanted = false;
    } catch (error) {
      this.#opening = false;
      this.#endAll(error as Error);
    }
  }

  /** A connection that broke is replaced; whatever else the server says of the stream is the end of its watches. */
  #onLost(error: EtcdError): void {
    this.#call = undefined;
    if (!isTemporary(error)) return this.#endAll(error);
    for (const entry of [...this.#active.values(), ...this.#pending]) {
      entry.id = undefined;
      entry.fragments = undefined;
      if (!entry.cancelled) this.#waiting.push(entry);
    }
    this.#active.clear();
    this.#pending = [];
    if (this.#waiting.length === 0) return;
    setTimeout(() => void this.#connect(), this.#pauseMs);
    this.#pauseMs = Math.min(PAUSE_MS_MAX, this.#pauseMs * PAUSE_GROWTH);
  }

  #onResponse(response: WatchResponse): void {
    this.#pauseMs = PAUSE_MS;
    if (response.created) return this.#onCreated(response);
    if (response.watchId === NO_WATCH) {
      for (const entry of this.#active.values()) this.#deliver(entry, response);
      return;
    }
    const entry = this.#active.get(response.watchId);
    if (entry === undefined) return; // cancelled meanwhile
    if (response.canceled) return this.#endEntry(entry, new WatchCanceledError(response));
    const whole = joinFragments(entry, response);
    if (whole !== undefined) this.#deliver(entry, whole);
  }

  #onCreated(response: WatchResponse): void {
    const entry = this.#pending.shift();
    if (entry === undefined) return;
    if (response.canceled && response.compactRevision === 0n) {
      return this.#endEntry(entry, new WatchCanceledError(response));
    }
    entry.id = response.watchId;
    this.#active.set(entry.id, entry);
    if (entry.cancelled) return this.#cancelAtServer(entry);
    if (entry.nextRevision === 0n) entry.nextRevision = (response.header?.revision ?? 0n) + 1n;
    entry.watcher.confirm(response);
    if (response.canceled) this.#endEntry(entry, new WatchCanceledError(response));
  }

  #deliver(entry: Entry, response: WatchResponse): void {
    const last = response.events.at(-1)?.kv?.modRevision ?? response.header?.revision ?? 0n;
    if (last >= entry.nextRevision) entry.nextRevision = last + 1n;
    entry.watcher.push(response);
    if (!entry.watcher.isSlow) return;
    this.#parked.add(entry);
    this.#cancelAtServer(entry);
  }

  /** Its reader has caught up: it goes on where it was parked. */
  #unpark(entry: Entry): void {
    if (this.#parked.delete(entry)) this.#create(entry);
  }

  #cancel(entry: Entry): void {
    entry.cancelled = true;
    this.#waiting = this.#waiting.filter((each) => each !== entry);
    this.#parked.delete(entry);
    this.#cancelAtServer(entry);
  }

  /** Responses that are under way for the id are dropped when they come. */
  #cancelAtServer(entry: Entry): void {
    if (entry.id === undefined) return;
    this.#active.delete(entry.id);
    this.#call?.send({ requestUnion: { case: "cancelRequest", value: { watchId: entry.id } } });
    entry.id = undefined;
    entry.fragments = undefined;
    this.#closeIfIdle();
  }

  #endEntry(entry: Entry, error: Error): void {
    if (entry.id !== undefined) this.#active.delete(entry.id);
    entry.id = undefined;
    entry.cancelled = true;
    entry.watcher.end(error);
    this.#closeIfIdle();
  }

  #endAll(error: Error): void {
    this.#call?.cancel();
    this.#call = undefined;
    const entries = [...this.#active.values(), ...this.#pending, ...this.#waiting, ...this.#parked];
    this.#parked.clear();
    this.#active.clear();
    this.#pending = [];
    this.#waiting = [];
    for (const entry of entries) {
      entry.id = undefined;
      entry.cancelled = true;
      entry.watcher.end(error);
    }
  }

  #isIdle(): boolean {
    return this.#active.size + this.#pending.length + this.#waiting.length === 0 && !this.#progressWanted;
  }

  #closeIfIdle(): void {
    if (!this.#isIdle()) return;
    this.#call?.cancel();
    this.#call = undefined;
  }
}

/** Puts the parts of a response together; undefined while some are missing. */
function joinFragments(entry: Entry, response: WatchResponse): WatchResponse | undefined {
  const first = entry.fragments;
  if (first !== undefined) first.events.push(...response.events);
  const joined = first ?? response;
  entry.fragments = response.fragment ? joined : undefined;
  if (response.fragment) return undefined;
  joined.fragment = false;
  return joined;
}

function isTemporary(error: EtcdError): boolean {
  return error.code === GrpcCode.unavailable || error.code === GrpcCode.internal;
}

function closedError(): EtcdError {
  return new EtcdError(GrpcCode.canceled, "grpc: the client connection is closing");
}
