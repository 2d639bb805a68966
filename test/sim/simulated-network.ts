/**
 * The cables between members: every link in each direction has its delay, its losses and its cuts. Messages of one link mostly keep
 * their order, as on one connection; now and then one is overtaken, lost or comes twice, as over several.
 */

import type { Prng } from "../../src/base/prng.ts";
import type { MembershipReport } from "../../src/cluster/membership.ts";
import type { PeerEvents, PeerNetwork } from "../../src/raft/peer-network.ts";
import { MessageType, type RaftMessage } from "../../src/raft/raft.ts";
import type { SnapshotFile } from "../../src/raft/snapshot-service.ts";
import { packMessage, unpackMessage } from "./message-transfer.ts";
import type { Life, Scheduler } from "./scheduler.ts";

/** How the network is now; the faults change it. */
export interface NetworkWeather {
  /** Typical one-way delay, ms. */
  delayMs: number;
  /** Probabilities a message. */
  loss: number;
  duplicate: number;
  overtake: number;
}

export const FAIR_WEATHER: Readonly<NetworkWeather> = {
  delayMs: 1,
  loss: 0,
  duplicate: 0.001,
  overtake: 0.005,
};

/** Appends held back for a member that does not read them; more are lost, as when its connection breaks. */
const HELD_APPENDS_MAX = 1000;
/** A member whose streams others do not take dials them again, and is told why. */
const REDIAL_MS = 100;
/** How long a sender takes to notice that nothing gets through. */
const NOTICE_MS = 50;

export interface NetworkCounts {
  sent: number;
  delivered: number;
  lost: number;
  snapshots: number;
}

/** What the network asks of the member at the end of a cable. */
export interface NetworkMember {
  readonly id: bigint;
  readonly life: Life;
  readonly events: PeerEvents;
  /** Stores a received snapshot, durably. */
  readonly storeSnapshot: (file: SnapshotFile, index: number) => void;
}

export class SimulatedNetwork {
  readonly weather: NetworkWeather = { ...FAIR_WEATHER };
  readonly counts: NetworkCounts = { sent: 0, delivered: 0, lost: 0, snapshots: 0 };
  /** Sees every message that a member sends; for the checkers. */
  onSend: ((message: RaftMessage) => void) | null = null;
  readonly scheduler: Scheduler;
  readonly random: Prng;
  readonly #members = new Map<bigint, Port>();
  /** Directed links that are cut. */
  readonly #cuts = new Set<string>();
  readonly #lastArrivalMs = new Map<string, number>();

  constructor(scheduler: Scheduler, random: Prng) {
    this.scheduler = scheduler;
    this.random = random;
  }

  /** Plugs in one life of a member; a later one of the same id takes its place. */
  connect(member: NetworkMember): PeerNetwork {
    const port = new Port(this, member);
    this.#members.set(member.id, port);
    return port;
  }

  port(id: bigint): Port | undefined {
    const port = this.#members.get(id);
    return port?.member.life.alive === true ? port : undefined;
  }

  /** Cuts the link in one direction. */
  cut(from: bigint, to: bigint): void {
    this.#cuts.add(`${from}>${to}`);
  }

  isCut(from: bigint, to: bigint): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  /** Mends all links; the weather stays. */
  mend(): void {
    this.#cuts.clear();
  }

  /** When something sent now arrives, or -1 if it does not. */
  arrivalMs(from: bigint, to: bigint, bytes: number): number {
    const { weather, random } = this;
    if (this.isCut(from, to) || random.chance(weather.loss)) return -1;
    const spread = random.chance(0.01) ? 10 : 1;
    const delay = weather.delayMs * (0.5 + random.below(1000) / 1000) * spread + bytes / 1_000_000;
    const at = this.scheduler.nowMs + delay;
    if (random.chance(weather.overtake)) return at + weather.delayMs * 3;
    const link = `${from}>${to}`;
    const last = Math.max(at, this.#lastArrivalMs.get(link) ?? 0);
    this.#lastArrivalMs.set(link, last);
    return last;
  }
}

/** One member's end of all its cables. */
export class Port implements PeerNetwork {
  readonly member: NetworkMember;
  readonly #network: SimulatedNetwork;
  #known = new Set<string>();
  #removed = new Set<string>();
  #pausesAppends = false;
  /** Appends that wait to be read. */
  #held: Uint8Array[] = [];
  #stopped = false;

  constructor(network: SimulatedNetwork, member: NetworkMember) {
    this.#network = network;
    this.member = member;
  }

  send(messages: readonly RaftMessage[]): void {
    for (const message of messages) this.#send(message);
  }

  #send(message: RaftMessage): void {
    const { counts, random, weather } = this.#network;
    this.#network.onSend?.(message);
    counts.sent++;
    if (this.#removed.has(message.to.toString(16))) return;
    const transfer = packMessage(message);
    this.#transmit(message.to, transfer);
    // A proposal that comes twice is done twice, in etcd too: the real transport never repeats one.
    if (message.type !== MessageType.prop && random.chance(weather.duplicate))
      this.#transmit(message.to, transfer);
  }

  #transmit(to: bigint, transfer: Uint8Array): void {
    const { scheduler, counts } = this.#network;
    const at = this.#network.arrivalMs(this.member.id, to, transfer.length);
    const port = at < 0 ? undefined : this.#network.port(to);
    if (port === undefined) {
      counts.lost++;
      scheduler.after(NOTICE_MS, this.member.life, () => this.member.events.unreachable(to));
      return;
    }
    scheduler.after(at - scheduler.nowMs, port.member.life, () => {
      // A cut breaks the connection and what was on its way.
      if (this.#network.isCut(this.member.id, to)) counts.lost++;
      else port.#arrive(transfer);
    });
  }

  #arrive(bytes: Uint8Array): void {
    if (this.#stopped) return;
    const message = unpackMessage(bytes);
    const { scheduler, counts } = this.#network;
    const from = message.from;
    if (this.#removed.has(from.toString(16))) {
      const sender = this.#network.port(from);
      sender?.hearThatItIsRemoved();
      return;
    }
    if (message.type === MessageType.app && this.#pausesAppends) {
      if (this.#held.length < HELD_APPENDS_MAX) this.#held.push(bytes);
      else counts.lost++;
      return;
    }
    counts.delivered++;
    const type = message.type + (message.reject ? 100 : 0);
    scheduler.trace.note(
      scheduler.nowMs,
      nameOf(this.member.id),
      `receives from ${nameOf(from)}`,
      type,
      message.index,
    );
    this.member.events.receive(message);
  }

  hearThatItIsRemoved(): void {
    const { scheduler } = this.#network;
    scheduler.after(NOTICE_MS, this.member.life, () => this.member.events.removedFromCluster());
  }

  sendSnapshot(message: RaftMessage, file: SnapshotFile): void {
    const { scheduler, counts, random } = this.#network;
    this.#network.onSend?.(message);
    const to = message.to;
    const bytes = packMessage(message);
    const transferMs = 20 + random.below(500) + file.bytes / 10_000;
    counts.snapshots++;
    scheduler.after(transferMs, this.member.life, () => {
      const port = this.#network.port(to);
      const arrives = port !== undefined && this.#network.arrivalMs(this.member.id, to, 0) >= 0;
      if (arrives) {
        scheduler.after(1, port.member.life, () => {
          port.member.storeSnapshot(file, message.snapshot?.index ?? 0);
          port.#arrive(bytes);
        });
      }
      const hears = arrives && !this.#network.isCut(to, this.member.id);
      scheduler.after(5, this.member.life, () => this.member.events.snapshotStatus(to, hears));
    });
  }

  setMembership(report: Uint8Array): void {
    const { members, removed } = JSON.parse(new TextDecoder().decode(report)) as MembershipReport;
    this.#known = new Set(members.map(({ id }) => id));
    this.#removed = new Set(removed);
    this.#dialIfRemoved();
  }

  /** One that knows of its removal sends nothing any more, but goes only when the others tell it to. */
  #dialIfRemoved(): void {
    const { id, life } = this.member;
    if (!this.#removed.has(id.toString(16))) return;
    const isTurnedAway = [...this.#known].some((known) => {
      const other = this.#network.port(BigInt(`0x${known}`));
      const isLinked =
        other !== undefined &&
        !this.#network.isCut(id, other.member.id) &&
        !this.#network.isCut(other.member.id, id);
      return isLinked && other.#removed.has(id.toString(16));
    });
    if (isTurnedAway) this.hearThatItIsRemoved();
    else this.#network.scheduler.after(REDIAL_MS, life, () => this.#dialIfRemoved());
  }

  activeSinceMs(id: bigint): number {
    const works = this.#known.has(id.toString(16)) && this.#network.port(id) !== undefined;
    return works && !this.#network.isCut(id, this.member.id) ? 1 : 0;
  }

  respond(): void {}

  pauseAppends(paused: boolean): void {
    this.#pausesAppends = paused;
    if (paused) return;
    const held = this.#held;
    this.#held = [];
    for (const bytes of held) {
      this.#network.scheduler.after(0, this.member.life, () => this.#arrive(bytes));
    }
  }

  stop(): Promise<void> {
    this.#stopped = true;
    return Promise.resolve();
  }
}

/** Members' ids in simulations are small; their names are letters. */
export function nameOf(id: bigint): string {
  return `m${id.toString(16)}`;
}
