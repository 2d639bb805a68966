/**
 * A simulated member: what survives a crash (disk, database, received snapshots), and its process, if one runs. Start, kill and power
 * cut are here; who decides on them is in `faults.ts`.
 */

import type { Prng } from "../../src/base/prng.ts";
import type { FoundingMember } from "../../src/raft/bootstrap.ts";
import type { Canary } from "./canaries.ts";
import type { CommittedHistory } from "./committed-history.ts";
import type { Invariants, VisibleLog } from "./invariants.ts";
import type { LeaseChecker } from "./lease-checker.ts";
import { MemberProcess } from "./member-process.ts";
import type { Life, Scheduler } from "./scheduler.ts";
import { SimulatedDatabase } from "./simulated-database.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { type SimulatedNetwork, nameOf } from "./simulated-network.ts";
import { SnapshotStore } from "./simulated-snapshots.ts";

/** etcd's ids come from the clock; a restarted member's begin higher. */
const IDS_PER_LIFE = 2 ** 24;
const TICK_MS = 100;
/** Machines were switched on at different times. */
const CLOCK_BEGINS_MS_MAX = 100_000;

export interface MemberSetup {
  readonly id: bigint;
  /** Empty for a member that joins. */
  readonly founding: readonly FoundingMember[];
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly invariants: Invariants;
  readonly random: Prng;
  readonly canary: Canary | null;
  readonly history: CommittedHistory;
  readonly leases: LeaseChecker;
  /** A process has died by itself, or will not start. */
  readonly onDeath: (member: SimulatedMember, error: Error) => void;
  /** The log is being written, for so long. */
  readonly onWrite: (member: SimulatedMember, tookMs: number) => void;
  /** A log was found torn at start, and repaired. */
  readonly onRepair: () => void;
  /** A process has learned that it is no longer a member. */
  readonly onRemoved: (member: SimulatedMember) => void;
}

export class SimulatedMember {
  readonly setup: MemberSetup;
  readonly disk: SimulatedDisk;
  readonly database = new SimulatedDatabase();
  readonly snapshots = new SnapshotStore();
  /** Virtual ms of one raft tick. */
  #tickMs = TICK_MS;
  #clockMs: number;
  #clockSetMs = 0;
  #process: MemberProcess | null = null;
  #life: Life | null = null;
  #lives = 0;

  constructor(setup: MemberSetup) {
    this.setup = setup;
    this.#clockMs = setup.random.below(CLOCK_BEGINS_MS_MAX);
    this.disk = new SimulatedDisk(setup.scheduler, setup.random);
    this.disk.onDurableWrite = (tookMs) => setup.onWrite(this, tookMs);
    this.disk.liesAboutWrites = setup.canary === "early-acknowledge";
  }

  /** Virtual ms of one raft tick: a member with a fast clock campaigns early, and its leases end early. */
  get tickMs(): number {
    return this.#tickMs;
  }

  set tickMs(tickMs: number) {
    this.#clockMs = this.clockMs;
    this.#clockSetMs = this.setup.scheduler.nowMs;
    this.#tickMs = tickMs;
    this.setup.leases.clockChanged();
  }

  /** The machine's monotonic clock. */
  get clockMs(): number {
    return this.#clockMs + ((this.setup.scheduler.nowMs - this.#clockSetMs) * TICK_MS) / this.#tickMs;
  }

  /** How much virtual time the machine's clock takes for so much. */
  virtualMs(ms: number): number {
    return (ms * this.#tickMs) / TICK_MS;
  }

  get id(): bigint {
    return this.setup.id;
  }

  get name(): string {
    return nameOf(this.setup.id);
  }

  /** True if a process is there, be it starting or stopped. */
  get isUp(): boolean {
    return this.#life !== null;
  }

  /** The process, once it has started. */
  get process(): MemberProcess | null {
    const process = this.#process;
    return process === null || process.raft === null ? null : process;
  }

  get isLeader(): boolean {
    return this.#process?.raft?.consensus.isLeader === true;
  }

  /** For the comparison of logs; null while the process is down. */
  get log(): VisibleLog | null {
    const consensus = this.process?.raft?.consensus;
    if (consensus === undefined) return null;
    return {
      name: this.name,
      firstIndex: 1,
      lastIndex: consensus.lastIndex,
      termAt: (index) => consensus.termAt(index),
    };
  }

  start(): void {
    const { scheduler } = this.setup;
    const life: Life = { alive: true, stoppedUntilMs: 0 };
    this.#life = life;
    this.#lives++;
    this.#note("starts", this.#lives, 0);
    scheduler.after(1, life, () => this.#run(life));
  }

  /** The process is killed; what the kernel has reaches the disk. */
  kill(): void {
    this.#end("is killed");
  }

  /** The machine loses power: what was not synced may be lost. */
  losePower(): void {
    this.#end("loses power");
    this.disk.losePower();
  }

  /** Stops the process (SIGSTOP) and lets it go on later. */
  stopFor(ms: number): void {
    if (this.#life === null) return;
    this.#note("is stopped", ms, 0);
    this.setup.scheduler.stop(this.#life, ms);
  }

  /** A stopped process goes on. */
  goOn(): void {
    if (this.#life !== null) this.setup.scheduler.goOn(this.#life);
  }

  #run(life: Life): void {
    const onError = (error: unknown): void => this.#die(life, error);
    const process = new MemberProcess({
      member: this,
      life,
      firstId: this.#lives * IDS_PER_LIFE,
      onError,
    });
    this.#process = process;
    process.run().then(() => {
      const { lastIndex = 0, commitIndex = 0 } = process.raft?.consensus ?? {};
      this.#note("runs", lastIndex, commitIndex);
    }, onError);
  }

  #end(what: string): void {
    if (this.#life === null) return;
    this.#note(what, 0, 0);
    this.#life.alive = false;
    this.#life = null;
    const process = this.#process;
    this.#process = null;
    process?.main.loseAll();
  }

  #die(life: Life, error: unknown): void {
    if (!life.alive) return;
    this.#end("dies");
    this.setup.onDeath(this, error instanceof Error ? error : new Error(String(error)));
  }

  #note(what: string, a: number, b: number): void {
    this.setup.scheduler.trace.note(this.setup.scheduler.nowMs, this.name, what, a, b);
  }
}
