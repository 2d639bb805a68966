/** Main's part in a simulated member: gives requests their ids, puts them into the rings, and hands answers and time-outs back. */

import { viewOf } from "../../src/base/bytes.ts";
import { encodeConfChange } from "../../src/proto/conf-change.ts";
import { raftRequestBytes, writeRaftRequest } from "../../src/proto/raft-request.ts";
import type { MemoryRing } from "../../src/ring/memory-ring.ts";
import { RecordType } from "../../src/ring/record-types.ts";
import { LeasePrimary } from "../../src/server/lease-primary.ts";
import { startRevoker } from "../../src/server/lease-revoker.ts";
import type { Router } from "../../src/server/router.ts";
import { WatchService } from "../../src/server/watch.ts";
import type { Logger } from "../../src/telemetry/logger.ts";
import type { KvRequest } from "./kv-requests.ts";
import type { Life, Scheduler } from "./scheduler.ts";
import { SimulatedRouter } from "./simulated-router.ts";

/** As main's own limit: 5 s and two election time-outs of 1 s. */
const REQUEST_TIMEOUT_MS = 7000;
const RECORDS_PER_DRAIN = 1000;
const TERM_BYTES = 8;

/** Stands for the lease service's log. */
const SILENT = { warn: () => undefined } as unknown as Logger;

/** What became of a request; `bytes` null = refused, lost or timed out: it may have been done. */
export interface Answer {
  readonly bytes: Uint8Array | null;
  /** ErrorId of a refusal, 0 = none. */
  readonly errorId: number;
}

const LOST: Answer = { bytes: null, errorId: 0 };

export interface ConfChangeRequest {
  readonly type: number;
  readonly nodeId: bigint;
  readonly context: Uint8Array;
}

export interface SimulatedMainOptions {
  readonly scheduler: Scheduler;
  readonly life: Life;
  readonly memberId: bigint;
  readonly firstRequestId: number;
  readonly toRaft: MemoryRing;
  readonly toApply: MemoryRing;
  readonly toWatch: MemoryRing;
  readonly clusterId: bigint;
  readonly inboxes: readonly MemoryRing[];
  /** Told of every `leader` record. */
  readonly onLeader: (term: number, leaderId: bigint, isLeader: boolean) => void;
  /** Told of every `membership` record. */
  readonly onMembership: (json: string) => void;
}

export class SimulatedMain {
  leaderId = 0n;
  term = 0;
  isLeader = false;
  /** The process has not died. */
  isAlive = true;
  readonly watch: WatchService;
  readonly leases: LeasePrimary;
  readonly #router: SimulatedRouter;
  readonly #options: SimulatedMainOptions;
  /** Told when the process dies. */
  readonly onDeath = new Set<() => void>();
  readonly #pending = new Map<number, (answer: Answer) => void>();
  #nextId: number;

  constructor(options: SimulatedMainOptions) {
    this.#options = options;
    this.#nextId = options.firstRequestId;
    const { memberId, clusterId, scheduler, life, toApply, toWatch } = options;
    this.#router = new SimulatedRouter({
      memberId,
      scheduler,
      life,
      toApply,
      toWatch,
      read: (kind, payload, done) => this.request({ field: 0, readKind: kind, payload }, true, done),
      proposeAsLeader: (term, field, payload, done) => this.#proposeAsLeader(term, field, payload, done),
    });
    const router = this.#router as unknown as Router;
    this.watch = new WatchService(router, { clusterId, memberId, electionTimeoutMs: 1000 });
    this.leases = new LeasePrimary({ router, requestTimeoutMs: REQUEST_TIMEOUT_MS });
    startRevoker(router, SILENT, (ms) => new Promise((done) => scheduler.after(ms, life, () => done(null))));
  }

  get memberId(): bigint {
    return this.#options.memberId;
  }

  /** Runs something in this process. */
  inProcess(delayMs: number, callback: () => void): void {
    this.#options.scheduler.after(delayMs, this.#options.life, callback);
  }

  #proposeAsLeader(term: number, field: number, bytes: Uint8Array, done: (answer: Answer) => void): void {
    const id = this.#admit(done);
    const [low, high] = this.#halves(id);
    const payload = new Uint8Array(TERM_BYTES + raftRequestBytes(field, bytes.length, low, high));
    new DataView(payload.buffer).setFloat64(0, term, true);
    writeRaftRequest(payload, TERM_BYTES, field, bytes, 0, bytes.length, low, high);
    this.#send(this.#options.toRaft, RecordType.proposeAsLeader, id, payload);
  }

  /** Sends a request; `done` is called once, unless the process dies before: then {@link loseAll} calls it. */
  request(request: KvRequest, linearizable: boolean, done: (answer: Answer) => void): void {
    if (request.field !== 0) this.#propose(request, done);
    else {
      const id = this.#admit(done);
      const payload = new Uint8Array(1 + request.payload.length);
      payload[0] = request.readKind;
      payload.set(request.payload, 1);
      this.#send(linearizable ? this.#options.toRaft : this.#options.toApply, RecordType.read, id, payload);
    }
  }

  #propose({ field, payload }: KvRequest, done: (answer: Answer) => void): void {
    const id = this.#admit(done);
    const [low, high] = this.#halves(id);
    const entry = new Uint8Array(raftRequestBytes(field, payload.length, low, high));
    writeRaftRequest(entry, 0, field, payload, 0, payload.length, low, high);
    this.#send(this.#options.toRaft, RecordType.propose, id, entry);
  }

  /** Proposes a change of the membership; apply answers it. */
  proposeConfChange(change: ConfChangeRequest, done: (answer: Answer) => void): void {
    const id = this.#admit(done);
    const [low, high] = this.#halves(id);
    const bytes = encodeConfChange({ ...change, id: (BigInt(high) << 32n) | BigInt(low) });
    this.#send(this.#options.toRaft, RecordType.proposeConfChange, id, bytes);
  }

  transferLeader(to: bigint): void {
    const payload = new Uint8Array(8);
    new DataView(payload.buffer).setBigUint64(0, to, true);
    this.#send(this.#options.toRaft, RecordType.transferLeader, 0, payload);
  }

  /** Takes what the other threads have sent. */
  drain(): void {
    for (const inbox of this.#options.inboxes) while (inbox.drain(this.#onRecord, RECORDS_PER_DRAIN) > 0);
    this.#router.sendWaiting();
  }

  /** The process dies: nobody will be answered. */
  loseAll(): void {
    this.isAlive = false;
    for (const listener of this.onDeath) listener();
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const done of waiting) done(LOST);
  }

  #halves(id: number): [low: number, high: number] {
    const prefix = Number(this.#options.memberId & 0xffffn);
    return [id >>> 0, ((prefix << 16) | Math.floor(id / 0x1_0000_0000)) >>> 0];
  }

  #admit(done: (answer: Answer) => void): number {
    const id = this.#nextId++;
    this.#pending.set(id, done);
    this.#options.scheduler.after(REQUEST_TIMEOUT_MS, this.#options.life, () => {
      if (!this.#pending.has(id)) return;
      this.#send(this.#options.toRaft, RecordType.cancel, id, new Uint8Array(0));
      this.#finish(id, LOST);
    });
    return id;
  }

  #send(ring: MemoryRing, type: number, id: number, payload: Uint8Array): void {
    // A full ring: the real main stops reading sockets; here the request is lost.
    if (ring.write(type, 0, id, payload, 0, payload.length)) ring.publish();
    else this.#finish(id, LOST);
  }

  #finish(id: number, answer: Answer): void {
    const done = this.#pending.get(id);
    this.#pending.delete(id);
    done?.(answer);
  }

  readonly #onRecord = (
    type: number,
    _flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void => {
    const at = bytes.byteOffset + start;
    this.#router.take(type, id, bytes, start, end);
    if (type === RecordType.response) this.#finish(id, { bytes: bytes.slice(start, end), errorId: 0 });
    else if (type === RecordType.error) {
      this.#finish(id, { bytes: null, errorId: viewOf(bytes).getUint32(at, true) });
    } else if (type === RecordType.membership) {
      this.#options.onMembership(new TextDecoder().decode(bytes.subarray(start, end)));
    } else if (type === RecordType.leader) {
      const view = viewOf(bytes);
      this.term = view.getFloat64(at, true);
      this.leaderId = view.getBigUint64(at + 8, true);
      this.isLeader = view.getUint32(at + 16, true) === 1;
      this.#options.onLeader(this.term, this.leaderId, this.isLeader);
    }
  };
}
