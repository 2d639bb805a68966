/** What goes wrong in a round: chance picks faults and their times, and at its end everything is mended. */

import type { Prng } from "../../src/base/prng.ts";
import { MessageType, type RaftMessage } from "../../src/raft/raft.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { encodeCompaction } from "./kv-requests.ts";
import { MembershipChanges } from "./membership-changes.ts";
import { HEALTHY_WRITE_MS } from "./simulated-disk.ts";
import type { SimulatedMember } from "./simulated-member.ts";
import { FAIR_WEATHER } from "./simulated-network.ts";

/** Mean time between two faults. */
const INTERVAL_MS = 3000;
const TICK_MS = 100;

/** How long a fault of each kind lasts at most. */
const DOWN_MS = 15_000;
const CUT_MS = 12_000;
const STOP_MS = 6000;
const STALL_MS = 4000;
const WEATHER_MS = 10_000;

/** Probabilities, a vote that is given and a new leader's first append. */
const VOTER_DIES = 0.25;
const NEW_LEADER_DIES = 0.1;
/** Probability a write that the power fails before it has ended. */
const WRITE_IS_TORN = 0.002;

interface Fault {
  readonly name: string;
  readonly weight: number;
  readonly run: () => void;
}

export class Faults {
  readonly counts: Record<string, number> = {};
  readonly #cluster: SimulatedCluster;
  readonly #random: Prng;
  readonly #changes: MembershipChanges;
  readonly #faults: readonly Fault[];
  #endMs = 0;
  /** Faults of earlier rounds that have not ended must not mend, or break, anything any more. */
  #round = 0;

  constructor(cluster: SimulatedCluster, random: Prng) {
    this.#cluster = cluster;
    this.#random = random;
    this.#changes = new MembershipChanges(cluster, random);
    this.#faults = [
      { name: "kill", weight: 10, run: () => this.#takeDown(this.#anyMember(), "kill") },
      { name: "kill leader", weight: 6, run: () => this.#takeDown(this.#leader(), "kill") },
      { name: "power cut", weight: 6, run: () => this.#takeDown(this.#anyMember(), "power") },
      { name: "power cut of all", weight: 2, run: () => this.#powerCutOfAll() },
      { name: "stop", weight: 6, run: () => this.#anyMember()?.stopFor(100 + random.below(STOP_MS)) },
      { name: "isolate", weight: 6, run: () => this.#isolate(this.#anyMember(), "both") },
      { name: "isolate leader", weight: 6, run: () => this.#isolate(this.#leader(), "both") },
      {
        name: "cut one way",
        weight: 8,
        run: () => this.#isolate(this.#anyMember(), random.pick(["in", "out"])),
      },
      { name: "cut a link", weight: 6, run: () => this.#cutLink() },
      { name: "split", weight: 6, run: () => this.#split() },
      { name: "bad weather", weight: 6, run: () => this.#badWeather() },
      { name: "slow disk", weight: 6, run: () => this.#slowDisk() },
      { name: "stalled disk", weight: 6, run: () => this.#stallDisk() },
      { name: "clock rate", weight: 3, run: () => this.#changeClock() },
      { name: "transfer", weight: 5, run: () => this.#changes.transfer() },
      { name: "compact", weight: 4, run: () => this.#compact() },
      { name: "membership", weight: 8, run: () => this.#changes.next() },
    ];
  }

  /** Faults come from now on until `endMs`. */
  begin(endMs: number): void {
    this.#endMs = endMs;
    this.#round++;
    this.#next();
  }

  /** Everything runs and is connected again. */
  mendAll(): void {
    this.#round++;
    const { network, members } = this.#cluster;
    network.mend();
    Object.assign(network.weather, FAIR_WEATHER);
    for (const member of members.values()) {
      member.goOn();
      member.tickMs = TICK_MS;
      Object.assign(member.disk.pace, { writeMs: HEALTHY_WRITE_MS, stalledUntilMs: 0 });
      if (!member.isUp) member.start();
    }
  }

  count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }

  /** The worst moments to die: right behind a vote, and right behind an election. */
  sees({ type, from, reject, entries, commit }: RaftMessage): void {
    if (this.#cluster.scheduler.nowMs >= this.#endMs) return;
    if (type === MessageType.voteResp && !reject && this.#random.chance(VOTER_DIES))
      this.#dieSoon(from, "kill voter");
    if (type !== MessageType.app || entries.length === 0) return;
    const [{ batch, from: first }] = entries;
    // The first entry of a term.
    const isNewLeader = batch.dataStart(first) === batch.dataEnd(first) && batch.firstIndex + first > commit;
    if (isNewLeader && this.#random.chance(NEW_LEADER_DIES)) this.#dieSoon(from, "kill new leader");
  }

  /** A member's log is being written: the power may fail in the middle. */
  writes(member: SimulatedMember, tookMs: number): void {
    if (this.#cluster.scheduler.nowMs >= this.#endMs || !this.#random.chance(WRITE_IS_TORN)) return;
    this.count("power cut in a write");
    this.#later((tookMs * this.#random.below(1000)) / 1000, () => this.#takeDown(member, "power"));
  }

  #dieSoon(id: bigint, name: string): void {
    const member = this.#cluster.members.get(id);
    this.count(name);
    this.#later(this.#random.below(20) / 10, () => {
      if (member?.isUp !== true) return;
      if (this.#random.chance(0.5)) member.kill();
      else member.losePower();
      this.#later(this.#random.pick([1, 20, 3000]), () => this.#startAgain(member));
    });
  }

  memberRemoved(member: SimulatedMember): void {
    this.#changes.memberRemoved(member);
  }

  #next(): void {
    const { scheduler } = this.#cluster;
    const delay = this.#random.below(2 * INTERVAL_MS);
    if (scheduler.nowMs + delay >= this.#endMs) return;
    this.#later(delay, () => {
      this.#runOne();
      this.#next();
    });
  }

  #runOne(): void {
    const total = this.#faults.reduce((sum, { weight }) => sum + weight, 0);
    let at = this.#random.below(total);
    const fault = this.#faults.find(({ weight }) => (at -= weight) < 0) as Fault;
    this.count(fault.name);
    const { scheduler } = this.#cluster;
    scheduler.trace.note(scheduler.nowMs, "faults", fault.name, 0, 0);
    fault.run();
  }

  /** Runs unless the round has ended by then. */
  #later(delayMs: number, callback: () => void): void {
    const round = this.#round;
    this.#cluster.scheduler.after(delayMs, null, () => {
      if (round === this.#round) callback();
    });
  }

  #anyMember(): SimulatedMember | undefined {
    const up = [...this.#cluster.members.values()].filter(({ isUp }) => isUp);
    return up.length === 0 ? undefined : this.#random.pick(up);
  }

  #leader(): SimulatedMember | undefined {
    const leaders = [...this.#cluster.members.values()].filter(({ isLeader }) => isLeader);
    return leaders.length === 0 ? undefined : this.#random.pick(leaders);
  }

  #takeDown(member: SimulatedMember | undefined, how: "kill" | "power"): void {
    if (member === undefined) return;
    if (how === "kill") member.kill();
    else member.losePower();
    // Mostly back soon, sometimes after many elections.
    const downMs = this.#random.chance(0.5) ? this.#random.below(1000) : this.#random.below(DOWN_MS);
    this.#later(downMs, () => this.#startAgain(member));
  }

  #startAgain(member: SimulatedMember): void {
    if (!member.isUp && this.#cluster.members.has(member.id)) member.start();
  }

  #powerCutOfAll(): void {
    for (const member of this.#cluster.members.values()) {
      if (member.isUp) member.losePower();
      this.#later(this.#random.below(3000), () => this.#startAgain(member));
    }
  }

  #isolate(member: SimulatedMember | undefined, direction: "in" | "out" | "both"): void {
    if (member === undefined) return;
    const { members, network } = this.#cluster;
    for (const { id } of members.values()) {
      if (id === member.id) continue;
      if (direction !== "out") network.cut(id, member.id);
      if (direction !== "in") network.cut(member.id, id);
    }
    this.#mendLater();
  }

  #cutLink(): void {
    const ids = [...this.#cluster.members.keys()];
    const [a, b] = [this.#random.pick(ids), this.#random.pick(ids)];
    this.#cluster.network.cut(a, b);
    if (this.#random.chance(0.5)) this.#cluster.network.cut(b, a);
    this.#mendLater();
  }

  #split(): void {
    const { members, network } = this.#cluster;
    const left = new Set([...members.keys()].filter(() => this.#random.chance(0.5)));
    for (const a of members.keys()) {
      for (const b of members.keys()) if (left.has(a) !== left.has(b)) network.cut(a, b);
    }
    this.#mendLater();
  }

  #mendLater(): void {
    this.#later(this.#random.below(CUT_MS), () => this.#cluster.network.mend());
  }

  #badWeather(): void {
    const { weather } = this.#cluster.network;
    weather.loss = this.#random.pick([0, 0.05, 0.3]);
    weather.delayMs = this.#random.pick([1, 20, 150]);
    weather.duplicate = this.#random.pick([0.001, 0.1]);
    weather.overtake = this.#random.pick([0.005, 0.2]);
    this.#later(this.#random.below(WEATHER_MS), () => Object.assign(weather, FAIR_WEATHER));
  }

  #slowDisk(): void {
    const pace = this.#anyMember()?.disk.pace;
    if (pace === undefined) return;
    pace.writeMs = this.#random.pick([5, 30, 120]);
    this.#later(this.#random.below(WEATHER_MS), () => (pace.writeMs = HEALTHY_WRITE_MS));
  }

  #stallDisk(): void {
    const pace = this.#anyMember()?.disk.pace;
    if (pace !== undefined)
      pace.stalledUntilMs = this.#cluster.scheduler.nowMs + this.#random.below(STALL_MS);
  }

  /** No fault, but it changes what members keep at their own pace. */
  #compact(): void {
    const mains = this.#cluster.mains();
    const revision = this.#cluster.newestRevision - this.#random.below(20);
    if (mains.length > 0 && revision > 0) {
      this.#random.pick(mains).request(encodeCompaction(revision), true, () => undefined);
    }
  }

  #changeClock(): void {
    const member = this.#anyMember();
    if (member !== undefined) member.tickMs = TICK_MS * this.#random.pick([0.8, 0.9, 1.1, 1.3]);
  }
}
