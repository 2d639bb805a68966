/**
 * A client that watches: a stream through some member with up to a few watchers, which goes to another member when it breaks, or when it likes
 * to, and goes on from where it was. At times it does not read.
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Prng } from "../../src/base/prng.ts";
import type { Event } from "../../src/proto/gen/kv_pb.ts";
import {
  WatchCancelRequestSchema,
  WatchCreateRequestSchema,
  WatchCreateRequest_FilterType,
  WatchProgressRequestSchema,
  type WatchRequest,
  WatchRequestSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "../../src/proto/gen/rpc_pb.ts";
import type { CommittedHistory } from "./committed-history.ts";
import { InvariantError } from "./invariants.ts";
import type { Scheduler } from "./scheduler.ts";
import { SimulatedCall } from "./simulated-call.ts";
import type { SimulatedMain } from "./simulated-main.ts";
import { type WatchSpec, WatcherCheck } from "./watch-checker.ts";

const WATCHERS_MAX = 4;
const BACK_OFF_MS = 200;
const REST_MS_MAX = 40_000;
/** A start this far beyond what is committed. */
const FUTURE_REVISIONS_MAX = 20;
/** Chosen ids are far from those that members choose. */
const CHOSEN_ID_MIN = 1000;

export interface WatchClientOptions {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly random: Prng;
  readonly history: CommittedHistory;
  /** Keys that are written now. */
  readonly keys: () => readonly string[];
  readonly members: () => readonly SimulatedMain[];
  /** Mean time between two actions, ms. */
  readonly thinkMs: number;
}

interface Watcher {
  readonly check: WatcherCheck;
  /** Its id in the stream; null while the member has not said it. */
  id: bigint | null;
  /** Fragments of a response that has not ended. */
  fragments: Event[];
  /** The client does not want it any more. */
  isCancelled: boolean;
}

export class SimulatedWatchClient {
  /** Watchers made, and events received by those that are gone. */
  watchers = 0;
  resumed = 0;
  /** Responses of each kind that are not ordinary. */
  readonly counts = { fragments: 0, notifications: 0, compacted: 0, rests: 0 };
  #events = 0;
  /** Nothing new is begun; what is open goes on. */
  paused = false;
  readonly #options: WatchClientOptions;
  #open: Watcher[] = [];
  /** Created, in order, and not answered. */
  #asked: Watcher[] = [];
  /** Ids whose cancellation is asked for and not answered. */
  readonly #cancelling = new Set<bigint>();
  #call: SimulatedCall | null = null;
  #nextId = CHOSEN_ID_MIN;

  constructor(options: WatchClientOptions) {
    this.#options = options;
  }

  get events(): number {
    return this.#open.reduce((sum, { check }) => sum + check.count, this.#events);
  }

  start(): void {
    this.#again();
  }

  /** What some watcher still has to be sent; null = all have everything. */
  missing(): string | null {
    for (const { check } of this.#open) {
      const event = check.missing();
      if (event !== null) return `${this.#options.name} has not been sent "${event.shown}"`;
    }
    return null;
  }

  /** The client reads again, whatever it was about to do. */
  readNow(): void {
    this.#call?.restFor(0);
  }

  #again(): void {
    const { scheduler, random, thinkMs } = this.#options;
    scheduler.after(random.below(2 * thinkMs), null, () => {
      this.#act();
      this.#again();
    });
  }

  #act(): void {
    const { random, members } = this.#options;
    const call = this.#call;
    if (call === null || call.cancelled) return this.#connect();
    // A member that was taken out of the cluster sends nothing any more.
    if (!members().includes(call.main)) return this.#reconnect();
    if (this.paused) return;
    const action = random.below(10);
    if (action < 3) this.#add();
    else if (action < 5) this.#cancelOne();
    else if (action < 7) this.#reconnect();
    else if (action < 8) {
      call.restFor(random.below(REST_MS_MAX));
      this.counts.rests++;
    } else call.send(encode({ case: "progressRequest", value: create(WatchProgressRequestSchema) }));
  }

  #connect(): void {
    const { random, members, scheduler } = this.#options;
    const mains = members();
    if (mains.length === 0) return;
    this.#asked = [];
    this.#cancelling.clear();
    const call: SimulatedCall = new SimulatedCall({
      scheduler,
      main: random.pick(mains),
      onMessage: (bytes) => this.#receive(call, fromBinary(WatchResponseSchema, bytes)),
      onEnd: () => scheduler.after(BACK_OFF_MS, null, () => this.#act()),
    });
    this.#call = call;
    scheduler.trace.note(
      scheduler.nowMs,
      this.#options.name,
      "watches through",
      Number(call.main.memberId),
      0,
    );
    for (const watcher of this.#open) if (watcher.isCancelled) this.#events += watcher.check.count;
    this.#open = this.#open.filter(({ isCancelled }) => !isCancelled);
    if (this.#open.length === 0) this.#add();
    else for (const watcher of this.#open) this.#create(call, watcher);
    this.resumed += this.#open.length;
  }

  #reconnect(): void {
    this.#call?.close();
    this.#connect();
  }

  #add(): void {
    const { name, history } = this.#options;
    const call = this.#call;
    if (call === null || this.#open.length >= WATCHERS_MAX) return;
    const check = new WatcherCheck(
      `watcher ${name}.${++this.watchers}`,
      history,
      this.#spec(),
      this.#startRevision(),
    );
    const watcher: Watcher = { check, id: null, fragments: [], isCancelled: false };
    this.#open.push(watcher);
    this.#create(call, watcher);
  }

  #spec(): WatchSpec {
    const { random, keys } = this.#options;
    const key = random.pick(keys());
    const [from, end] = random.pick([
      [key, ""],
      [key, "\0"],
      ["r", "s"],
      ["\0", "\0"],
      [key, `${key}~`],
    ]);
    return {
      key: from,
      end,
      noPut: random.chance(0.1),
      noDelete: random.chance(0.1),
      prevKv: random.chance(0.5),
      progressNotify: random.chance(0.5),
      fragment: random.chance(0.3),
    };
  }

  /** Now, somewhere in the past, or a little beyond. */
  #startRevision(): number {
    const { random, history } = this.#options;
    const how = random.below(10);
    if (how < 3) return 0;
    if (how < 8) return Math.max(1, history.revision - random.below(random.pick([20, 200, 2000])));
    return history.revision + 1 + random.below(FUTURE_REVISIONS_MAX);
  }

  #create(call: SimulatedCall, watcher: Watcher): void {
    const { spec, next } = watcher.check;
    watcher.id = null;
    watcher.fragments = [];
    const filters = [
      ...(spec.noPut ? [WatchCreateRequest_FilterType.NOPUT] : []),
      ...(spec.noDelete ? [WatchCreateRequest_FilterType.NODELETE] : []),
    ];
    const request = create(WatchCreateRequestSchema, {
      key: bytesOf(spec.key),
      rangeEnd: bytesOf(spec.end),
      startRevision: BigInt(next),
      progressNotify: spec.progressNotify,
      filters,
      prevKv: spec.prevKv,
      fragment: spec.fragment,
      watchId: this.#options.random.chance(0.3) ? BigInt(this.#nextId++) : 0n,
    });
    this.#asked.push(watcher);
    call.send(encode({ case: "createRequest", value: request }));
  }

  #cancelOne(): void {
    const { random } = this.#options;
    if (this.#open.length === 0) return;
    const watcher = random.pick(this.#open);
    if (watcher.id === null || watcher.isCancelled) return;
    watcher.isCancelled = true;
    this.#cancelling.add(watcher.id);
    const request = create(WatchCancelRequestSchema, { watchId: watcher.id });
    this.#call?.send(encode({ case: "cancelRequest", value: request }));
  }

  #receive(call: SimulatedCall, response: WatchResponse): void {
    if (call !== this.#call) return;
    const revision = Number(response.header?.revision ?? 0n);
    if (response.created) return this.#created(response, revision);
    if (response.watchId === -1n && response.events.length === 0 && !response.canceled)
      return this.#progress(revision);
    const watcher = this.#open.find(({ id }) => id === response.watchId);
    // As from etcd: a watcher that was cancelled while its end by compaction was on the way ends twice.
    if (watcher === undefined && response.canceled && this.#cancelling.delete(response.watchId)) return;
    if (watcher === undefined)
      throw new InvariantError(`${this.#options.name} hears of watcher ${response.watchId} that it has not`);
    if (response.canceled) return this.#canceled(watcher, Number(response.compactRevision));
    watcher.fragments.push(...response.events);
    if (response.fragment) {
      this.counts.fragments++;
      if (!watcher.check.spec.fragment) throw new InvariantError("a fragment for who wants none");
      return;
    }
    const events = watcher.fragments;
    watcher.fragments = [];
    if (events.length === 0) {
      this.counts.notifications++;
      watcher.check.progress(revision);
    } else watcher.check.events(revision, events);
  }

  #created(response: WatchResponse, revision: number): void {
    const watcher = this.#asked.shift();
    if (watcher === undefined || response.canceled)
      throw new InvariantError(`${this.#options.name} was refused: ${response.cancelReason}`);
    watcher.id = response.watchId;
    watcher.check.created(revision);
  }

  /** For all watchers of the stream. */
  #progress(revision: number): void {
    this.counts.notifications++;
    for (const { check, id } of this.#open) if (id !== null) check.progress(revision);
  }

  #canceled(watcher: Watcher, compactRevision: number): void {
    if (compactRevision === 0 && watcher.id !== null) this.#cancelling.delete(watcher.id);
    if (compactRevision > 0) {
      watcher.check.compacted(compactRevision);
      this.counts.compacted++;
      if (!watcher.isCancelled && this.#call !== null) return this.#create(this.#call, watcher);
    } else if (!watcher.isCancelled) throw new InvariantError("a watcher is cancelled that nobody cancelled");
    this.#events += watcher.check.count;
    this.#open = this.#open.filter((each) => each !== watcher);
  }
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

type RequestUnion = WatchRequest["requestUnion"];

function encode(requestUnion: RequestUnion): Uint8Array {
  return toBinary(WatchRequestSchema, create(WatchRequestSchema, { requestUnion }));
}
