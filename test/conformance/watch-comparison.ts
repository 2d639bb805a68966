/**
 * The same watches on two members. What each of them is to be told follows from the reference's own history, so that a comparison
 * waits exactly until both must have told everything, and then compares all that came.
 */
import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import type { Prng } from "../../src/base/prng.ts";
import {
  PutRequestSchema,
  WatchCreateRequestSchema,
  type WatchCreateRequest,
} from "../../src/proto/gen/rpc_pb.ts";
import { waitFor } from "../support/wait.ts";
import { dump } from "./canonical.ts";
import type { Comparison } from "./comparison.ts";
import { isOmittedWatch, refusesEarlyProgress } from "./known-differences.ts";
import type { Pair } from "./pair.ts";
import { drawWatch, wants } from "./watch-operations.ts";
import { WatchRecorder } from "./watch-recorder.ts";

// Far longer than either takes on a busy machine.
const DELIVERY_MS = 20_000;
const PROGRESS_MS = 20_000;
// etcd does not answer while it has not noticed yet that a watch caught up; it looks every 100 ms.
const PROGRESS_AGAIN_MS = 500;
const WATCHES_A_STREAM_MAX = 12;
const STREAMS = 4;

/** A watch that both members have. */
interface OpenWatch {
  readonly request: WatchCreateRequest;
  /** First revision it is told of. */
  readonly from: number;
  /** It asked for a revision that had been compacted: it is ended, and its id stays taken. */
  readonly compacted: boolean;
}

/** A stream on each of the two. */
interface Slot {
  readonly sides: readonly [WatchRecorder, WatchRecorder];
  readonly watches: Map<bigint, OpenWatch>;
  readonly log: string[];
  /** Progress was asked for twice, and answers may come twice. */
  repeated: boolean;
}

export class WatchComparison {
  /** What was done, to see that a run covered what it should. */
  readonly counts = new Map<string, number>();
  readonly #pair: Pair;
  readonly #comparison: Comparison;
  readonly #prng: Prng;
  readonly #slots: Slot[] = [];
  /** Everything that happens, as the reference tells it. */
  readonly #history: WatchRecorder;
  #serial = 0;

  private constructor(pair: Pair, comparison: Comparison, prng: Prng) {
    this.#pair = pair;
    this.#comparison = comparison;
    this.#prng = prng;
    this.#history = new WatchRecorder(pair.theirs);
  }

  static async start(pair: Pair, comparison: Comparison, prng: Prng): Promise<WatchComparison> {
    const watches = new WatchComparison(pair, comparison, prng);
    await watches.#history.create(everythingFrom(1));
    return watches;
  }

  /** A watch opened, cancelled, a stream closed, or progress asked for. */
  async act(): Promise<void> {
    const slot = await this.#slot();
    const dice = this.#prng.below(100);
    if (dice < 65 && slot.watches.size < WATCHES_A_STREAM_MAX)
      return this.open(slot, drawWatch(this.#prng, this.#comparison.view));
    if (dice < 92) return this.#cancel(slot);
    await this.settle();
    this.#count("stream closed");
    this.#slots.splice(this.#slots.indexOf(slot), 1);
    await Promise.all(slot.sides.map((side) => side.close()));
  }

  /** Opens a watch on both. */
  async open(slot: Slot, request: WatchCreateRequest): Promise<void> {
    const { view } = this.#comparison;
    if (isOmittedWatch(request, view, this.#pair.version)) return;
    slot.log.push(`at revision ${view.revision}, compacted ${view.compactRevision}: ${dump(request)}`);
    const [ours, theirs] = await this.#both(slot, (side) => side.create(request));
    assert.equal(dump(ours), dump(theirs), this.#explain(slot, "answers to a request for a watch differ"));
    const start = Number(request.startRevision);
    this.#count(theirs.canceled ? `refused: ${theirs.cancelReason}` : startKind(start, view));
    if (theirs.canceled) return;
    const compacted = start !== 0 && start < view.compactRevision;
    const from = start === 0 ? view.revision + 1 : start;
    slot.watches.set(theirs.watchId, { request, from, compacted });
  }

  /** A stream of its own for a scenario. */
  async newSlot(): Promise<Slot> {
    const [ours, theirs] = [new WatchRecorder(this.#pair.ours), new WatchRecorder(this.#pair.theirs)];
    const slot: Slot = { sides: [ours, theirs], watches: new Map(), log: [], repeated: false };
    this.#slots.push(slot);
    return slot;
  }

  /**
   * Waits until both have told everything there is to tell, and compares it. Afterwards no watch lags behind, so that a
   * compaction ends none by chance.
   */
  async settle(): Promise<void> {
    await this.#sentinel();
    await waitFor("the history", DELIVERY_MS, () =>
      this.#history.revisionOf(0n) >= this.#comparison.view.revision ? true : undefined,
    );
    for (const slot of this.#slots) await this.#settleSlot(slot);
  }

  /** Asks for progress on each stream; both must answer, or neither. */
  async progress(): Promise<void> {
    await this.settle();
    for (const slot of this.#slots) await this.#progressOf(slot);
  }

  async #progressOf(slot: Slot): Promise<void> {
    const { revision } = this.#comparison.view;
    const watches = [...slot.watches.values()];
    const isDue =
      watches.length > 0 && watches.every(({ from, compacted }) => from <= revision && !compacted);
    // A watch that starts with the next revision is of the future if it said so, and not if it said nothing.
    const isOpen = watches.every(
      ({ from, request, compacted }) =>
        !compacted && (from <= revision || (request.startRevision === 0n && from === revision + 1)),
    );
    for (const side of slot.sides) side.progress.length = 0;
    for (const side of slot.sides) side.requestProgress();
    if (!isDue && !(watches.length > 0 && isOpen)) {
      this.#count("progress not due");
      return this.#noProgress(slot);
    }
    this.#count("progress due");
    let askedMs = performance.now();
    await waitFor(`progress\n${slot.log.join("\n")}`, PROGRESS_MS, () => {
      if (slot.sides.every(({ progress }) => progress.length > 0)) return true;
      if (performance.now() - askedMs < PROGRESS_AGAIN_MS) return;
      askedMs = performance.now();
      slot.repeated = true;
      for (const side of slot.sides) if (side.progress.length === 0) side.requestProgress();
    });
    for (const side of slot.sides)
      assert.equal(side.progress[0], revision, this.#explain(slot, "progress at another revision"));
  }

  /** A stream answers in order: when the creation that follows has been answered, an answer before it would be here. */
  async #noProgress(slot: Slot): Promise<void> {
    await this.open(
      slot,
      create(WatchCreateRequestSchema, { key: Buffer.from("z"), rangeEnd: Buffer.from("a") }),
    );
    if (slot.repeated) return;
    const [ours, theirs] = slot.sides;
    assert.equal(ours.progress.length, 0, this.#explain(slot, "progress that was not due"));
    if (refusesEarlyProgress(this.#pair.version)) assert.equal(theirs.progress.length, 0);
  }

  async #cancel(slot: Slot): Promise<void> {
    await this.settle();
    const ids = [...slot.watches.keys()];
    const known = ids.length > 0 && this.#prng.chance(0.85);
    const id = known ? this.#prng.pick(ids) : this.#prng.pick([-1n, 77n, 1n << 50n]);
    const wasCompacted = slot.watches.get(id)?.compacted ?? false;
    slot.log.push(`cancel ${id}`);
    this.#count(
      known ? `cancelled${wasCompacted ? " after it was compacted" : ""}` : "unknown watch cancelled",
    );
    for (const side of slot.sides) side.cancel(id);
    slot.watches.delete(id);
    // What follows on the stream is answered after the cancellation.
    await this.open(
      slot,
      create(WatchCreateRequestSchema, { key: Buffer.from("z"), rangeEnd: Buffer.from("a") }),
    );
    if (known)
      await waitFor(`the end of watch ${id}\n${slot.log.join("\n")}`, DELIVERY_MS, () =>
        slot.sides.every((side) => side.isCanceled(id)) ? true : undefined,
      );
  }

  /**
   * A watch from the past on a stream of its own: etcd catches up all watches that lag in one pass, so when this one has its
   * event, the others are in step too.
   */
  async #sentinel(): Promise<void> {
    const value = Buffer.from(`${this.#serial++}`);
    const key = Buffer.from("sentinel");
    await this.#comparison.step({ method: "Put", request: create(PutRequestSchema, { key, value }) });
    const { revision } = this.#comparison.view;
    await Promise.all(
      [this.#pair.ours, this.#pair.theirs].map(async (client) => {
        const recorder = new WatchRecorder(client);
        await recorder.create(everythingFrom(revision));
        await waitFor("the sentinel", DELIVERY_MS, () =>
          recorder.revisionOf(0n) >= revision ? true : undefined,
        );
        await recorder.close();
      }),
    );
  }

  async #settleSlot(slot: Slot): Promise<void> {
    for (const [id, watch] of slot.watches) {
      const expected = watch.compacted ? 0 : this.#lastOf(watch);
      await waitFor(
        `watch ${id} to be at ${watch.compacted ? "its end" : expected}\n${slot.log.join("\n")}`,
        DELIVERY_MS,
        () =>
          slot.sides.every((side) =>
            watch.compacted ? side.isCanceled(id) : side.revisionOf(id) >= expected,
          )
            ? true
            : undefined,
      );
    }
    const [ours, theirs] = slot.sides.map((side) => side.take());
    if (ours !== theirs) assert.fail(this.#explain(slot, `ours: ${ours}\ntheirs: ${theirs}`));
  }

  /** Newest revision that a watch is told of. */
  #lastOf({ request, from }: OpenWatch): number {
    const event = this.#history.events.findLast(
      (each) => Number(each.kv?.modRevision) >= from && wants(request, each),
    );
    return Number(event?.kv?.modRevision ?? 0n);
  }

  async #slot(): Promise<Slot> {
    const index = this.#prng.below(STREAMS);
    return this.#slots[index] ?? (await this.newSlot());
  }

  #both<T>(slot: Slot, ask: (side: WatchRecorder) => Promise<T>): Promise<[T, T]> {
    return Promise.all([ask(slot.sides[0]), ask(slot.sides[1])]);
  }

  #explain(slot: Slot, what: string): string {
    return `SEED=${this.#comparison.seed}: ${what}\nthe stream was asked:\n${slot.log.join("\n")}`;
  }

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

function everythingFrom(revision: number): WatchCreateRequest {
  const range = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
  return create(WatchCreateRequestSchema, { ...range, startRevision: BigInt(revision) });
}

function startKind(start: number, view: { revision: number; compactRevision: number }): string {
  if (start === 0) return "watch from now";
  if (start < view.compactRevision) return "watch from a compacted revision";
  if (start === view.compactRevision) return "watch from the compaction";
  return start > view.revision ? "watch from the future" : "watch from the past";
}
