/**
 * A whole cluster in one thread, from one seed: members that run the product's loops, clients that keep a history, and faults.
 *
 * A run goes in rounds. In each, clients work while faults come; then everything is mended, the cluster must serve again, and what the
 * round left is checked: equal state on all members, and a linearizable history. {@link Invariants} watch all the time.
 *
 * Same options, same run: nothing here asks the clock or any other source of chance. Read next: `scheduler.ts` (time),
 * `simulated-member.ts` (what a member is made of), `faults.ts`, `invariants.ts`, `linearizability.ts`, `watch-checker.ts`,
 * `lease-checker.ts`, `run.ts` (the command).
 */

import { Prng } from "../../src/base/prng.ts";
import type { FoundingMember } from "../../src/raft/bootstrap.ts";
import { type Canary, plantInCode } from "./canaries.ts";
import { type SimulatedCluster, founder } from "./cluster.ts";
import { CommittedHistory } from "./committed-history.ts";
import { Faults } from "./faults.ts";
import { Invariants } from "./invariants.ts";
import { LeaseChecker } from "./lease-checker.ts";
import { type Operation, checkLinearizable } from "./linearizability.ts";
import { Scheduler } from "./scheduler.ts";
import { SimulatedClient } from "./simulated-client.ts";
import { SimulatedLeaseClient } from "./simulated-lease-client.ts";
import type { SimulatedMain } from "./simulated-main.ts";
import { SimulatedMember } from "./simulated-member.ts";
import { SimulatedNetwork } from "./simulated-network.ts";
import { SimulatedWatchClient } from "./simulated-watch-client.ts";
import { compareStates } from "./state-check.ts";

const CLIENTS = 5;
const WATCH_CLIENTS = 3;
const WATCH_THINK_MS = 2000;
const LEASE_CLIENTS = 2;
const LEASE_THINK_MS = 2000;
const THINK_MS = 250;
const KEYS = 3;
/** Faults come for so long, then everything is mended. */
const ROUND_MS = 120_000;
/** The cluster must serve again within this time once everything is mended: several election time-outs, and a client's patience. */
const RECOVERY_MS = 30_000;
/** Every watcher has everything, and every lease has ended, within this time once nobody writes and nobody keeps anything alive. */
const SETTLE_MS = 40_000;
/** Clients have all their answers, or given up, within this time. */
const DRAIN_MS = 11_000;

export interface SimulationOptions {
  readonly seed: number;
  /** Virtual time to run. */
  readonly minutes: number;
  /** Members to begin with. */
  readonly members: number;
  readonly canary: Canary | null;
  /** Faults come; default true. */
  readonly faults?: boolean;
}

export interface SimulationResult {
  /** What broke, or null. */
  readonly failure: Error | null;
  readonly virtualMs: number;
  readonly events: number;
  readonly elections: number;
  readonly entries: number;
  readonly operations: number;
  readonly answered: number;
  /** Keys whose history took too long to check. */
  readonly undecidedKeys: number;
  readonly messages: number;
  readonly snapshots: number;
  readonly watchers: number;
  /** Watchers that went on with another call. */
  readonly watchersResumed: number;
  readonly watchEvents: number;
  /** Responses to them that are not ordinary. */
  readonly fragments: number;
  readonly notifications: number;
  readonly compacted: number;
  /** Times that a client did not read for a while. */
  readonly rests: number;
  readonly leasesGranted: number;
  readonly leasesRenewed: number;
  readonly leasesExpired: number;
  /** By name, how often. */
  readonly faults: Readonly<Record<string, number>>;
  readonly traceHash: string;
  readonly lastEvents: readonly string[];
}

export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(options);
  const removeBug = plantInCode(options.canary);
  const failure = await simulation.run().then(
    () => null,
    (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
  );
  removeBug();
  return simulation.result(failure);
}

export class Simulation implements SimulatedCluster {
  readonly options: SimulationOptions;
  readonly scheduler = new Scheduler();
  readonly random: Prng;
  readonly network: SimulatedNetwork;
  readonly invariants = new Invariants();
  readonly members = new Map<bigint, SimulatedMember>();
  readonly history = new CommittedHistory();
  readonly leases: LeaseChecker;
  readonly #clients: SimulatedClient[] = [];
  readonly #watchClients: SimulatedWatchClient[] = [];
  readonly #leaseClients: SimulatedLeaseClient[] = [];
  readonly #faults: Faults;
  newestRevision = 0;
  #operations: Operation[] = [];
  #operationCount = 0;
  #answered = 0;
  #undecidedKeys = 0;
  #round = 0;
  /** Everything is mended, and nobody begins anything. */
  #isSettling = false;

  constructor(options: SimulationOptions) {
    this.options = options;
    this.random = new Prng(options.seed);
    this.leases = new LeaseChecker(this.scheduler, this.history, () => this.#fastestRate());
    this.network = new SimulatedNetwork(this.scheduler, new Prng(this.random.nextUint32()));
    this.network.onSend = (message) => {
      this.invariants.sends(message);
      this.#faults.sees(message);
    };
    const founding = Array.from({ length: options.members }, (_, i) => founder(BigInt(i + 1)));
    for (const { id } of founding) this.addMember(id, founding);
    this.#faults = new Faults(this, new Prng(this.random.nextUint32()));
    for (let process = 1; process <= CLIENTS; process++) this.#addClient(process);
    for (let number = 1; number <= WATCH_CLIENTS; number++) this.#addWatchClient(number);
    for (let process = 1; process <= LEASE_CLIENTS; process++) this.#addLeaseClient(process);
  }

  /** How fast the fastest member's clock goes. */
  #fastestRate(): number {
    return Math.max(...[...this.members.values()].map(({ tickMs }) => 100 / tickMs));
  }

  addMember(id: bigint, founding: readonly FoundingMember[]): SimulatedMember {
    const member = new SimulatedMember({
      id,
      founding,
      scheduler: this.scheduler,
      network: this.network,
      invariants: this.invariants,
      random: new Prng(this.random.nextUint32()),
      canary: this.options.canary,
      history: this.history,
      leases: this.leases,
      onDeath: ({ name }, error) =>
        this.scheduler.fail(new Error(`${name} died: ${error.message}`, { cause: error })),
      onWrite: (writer, tookMs) => this.#faults.writes(writer, tookMs),
      onRepair: () => this.#faults.count("torn log repaired"),
      onRemoved: (removed) => this.#faults.memberRemoved(removed),
    });
    this.members.set(id, member);
    this.leases.clockChanged(); // its clock may be the fastest now
    return member;
  }

  mains(): SimulatedMain[] {
    const mains: SimulatedMain[] = [];
    for (const { process } of this.members.values()) if (process?.isMember) mains.push(process.main);
    return mains;
  }

  #knownMains(): SimulatedMain[] {
    return this.#knownMembers().flatMap(({ process }) => (process === null ? [] : [process.main]));
  }

  /** Those that the newest leader knows: a member whose removal it has not heard of hears of nothing else either. */
  #knownMembers(): SimulatedMember[] {
    const running = [...this.members.values()].filter(({ process }) => process !== null);
    const leaders = running.filter(({ isLeader }) => isLeader);
    if (leaders.length === 0) return running;
    const newest = leaders.reduce((a, b) =>
      (a.process?.main.term ?? 0) > (b.process?.main.term ?? 0) ? a : b,
    );
    return running.filter(({ id }) => newest.process?.knows(id) === true);
  }

  async run(): Promise<void> {
    const endMs = this.options.minutes * 60_000;
    for (const member of this.members.values()) member.start();
    for (const client of [...this.#clients, ...this.#watchClients, ...this.#leaseClients]) client.start();
    await this.#untilServing();
    while (this.scheduler.nowMs < endMs)
      await this.#runRound(Math.min(ROUND_MS, endMs - this.scheduler.nowMs));
  }

  result(failure: Error | null): SimulationResult {
    const { scheduler, invariants, network } = this;
    return {
      failure,
      virtualMs: scheduler.nowMs,
      events: scheduler.events,
      elections: invariants.elections,
      entries: Math.max(0, invariants.appliedIndex),
      operations: this.#operationCount,
      answered: this.#answered,
      undecidedKeys: this.#undecidedKeys,
      messages: network.counts.delivered,
      snapshots: network.counts.snapshots,
      watchers: sum(this.#watchClients.map(({ watchers }) => watchers)),
      watchersResumed: sum(this.#watchClients.map(({ resumed }) => resumed)),
      watchEvents: sum(this.#watchClients.map(({ events }) => events)),
      fragments: sum(this.#watchClients.map(({ counts }) => counts.fragments)),
      notifications: sum(this.#watchClients.map(({ counts }) => counts.notifications)),
      compacted: sum(this.#watchClients.map(({ counts }) => counts.compacted)),
      rests: sum(this.#watchClients.map(({ counts }) => counts.rests)),
      leasesGranted: this.leases.granted,
      leasesRenewed: this.leases.renewed,
      leasesExpired: this.leases.expired,
      faults: this.#faults.counts,
      traceHash: scheduler.trace.hash,
      lastEvents: scheduler.trace.lastEvents(),
    };
  }

  #addClient(process: number): void {
    const client = new SimulatedClient({
      process,
      scheduler: this.scheduler,
      random: new Prng(this.random.nextUint32()),
      keys: () => this.#keys(),
      members: () => this.mains(),
      thinkMs: THINK_MS,
      onOperation: (operation) => this.#noteOperation(operation),
    });
    this.#clients.push(client);
  }

  #keys(): string[] {
    return Array.from({ length: KEYS }, (_, i) => `r${this.#round}-k${i}`);
  }

  #addWatchClient(number: number): void {
    this.#watchClients.push(
      new SimulatedWatchClient({
        name: `w${number}`,
        scheduler: this.scheduler,
        random: new Prng(this.random.nextUint32()),
        history: this.history,
        keys: () => this.#keys(),
        members: () => (this.#isSettling ? this.#knownMains() : this.mains()),
        thinkMs: WATCH_THINK_MS,
      }),
    );
  }

  #addLeaseClient(process: number): void {
    this.#leaseClients.push(
      new SimulatedLeaseClient({
        process,
        scheduler: this.scheduler,
        random: new Prng(this.random.nextUint32()),
        network: this.network,
        checker: this.leases,
        members: () => this.mains(),
        thinkMs: LEASE_THINK_MS,
      }),
    );
  }

  #noteOperation(operation: Operation): void {
    this.#operationCount++;
    if (operation.output !== null) this.#answered++;
    this.#operations.push(operation);
    const revision = operation.output?.revision ?? 0;
    this.newestRevision = Math.max(this.newestRevision, revision);
    this.scheduler.trace.note(
      this.scheduler.nowMs,
      `c${operation.process}`,
      operation.op,
      revision,
      operation.invoke,
    );
  }

  async #runRound(durationMs: number): Promise<void> {
    this.#round++;
    this.#pauseClients(false);
    const endMs = this.scheduler.nowMs + durationMs;
    if (this.options.faults !== false) this.#faults.begin(endMs);
    await this.scheduler.runUntil(endMs);
    this.#compareLogs();
    this.#faults.mendAll();
    await this.#untilServing();
    this.#pauseClients(true);
    await this.scheduler.runUntil(this.scheduler.nowMs + DRAIN_MS);
    await this.#untilSettled();
    this.#compareLogs();
    await compareStates(this);
    this.#checkHistory();
  }

  #pauseClients(paused: boolean): void {
    this.#isSettling = paused;
    for (const client of [...this.#clients, ...this.#watchClients, ...this.#leaseClients])
      client.paused = paused;
  }

  /** Nobody writes, and nobody keeps a lease alive: leases end, and watchers hear of that and of everything before. */
  async #untilSettled(): Promise<void> {
    const deadlineMs = this.scheduler.nowMs + SETTLE_MS;
    for (const client of this.#watchClients) client.readNow();
    for (let missing = this.#unsettled(); missing !== null; missing = this.#unsettled()) {
      if (this.scheduler.nowMs >= deadlineMs)
        throw new Error(`in ${SETTLE_MS / 1000} s with everything mended: ${missing}`);
      await this.scheduler.runUntil(this.scheduler.nowMs + 250);
    }
  }

  #unsettled(): string | null {
    for (const { name, process } of this.#knownMembers())
      if (process !== null && process.leases > 0) return `${process.leases} leases have not ended on ${name}`;
    for (const client of this.#watchClients) {
      const missing = client.missing();
      if (missing !== null) return missing;
    }
    return null;
  }

  /** Liveness: with everything mended, clients get answers to writes again. */
  async #untilServing(): Promise<void> {
    const deadlineMs = this.scheduler.nowMs + RECOVERY_MS;
    const from = this.#operations.length;
    const writes = (): number =>
      this.#operations.slice(from).filter(({ op, output }) => op !== "get" && output !== null).length;
    while (writes() < 3) {
      if (this.scheduler.nowMs >= deadlineMs) {
        throw new Error(
          `no progress in ${RECOVERY_MS / 1000} s with everything mended: ${writes()} writes answered`,
        );
      }
      await this.scheduler.runUntil(this.scheduler.nowMs + 100);
    }
  }

  #compareLogs(): void {
    const logs = [...this.members.values()].flatMap(({ log }) => (log === null ? [] : [log]));
    for (const [i, a] of logs.entries()) for (const b of logs.slice(i + 1)) this.invariants.logsMatch(a, b);
    for (const member of this.members.values()) {
      if (member.log !== null && member.isLeader) this.#checkLeader(member);
    }
  }

  /** A leader of an older term that has not heard of the newer one may lack what that one has committed. */
  #checkLeader(member: SimulatedMember): void {
    const terms = this.mains().map(({ term }) => term);
    const { log, process } = member;
    if (log !== null && process !== null && process.main.term === Math.max(...terms))
      this.invariants.leaderHolds(log);
  }

  #checkHistory(): void {
    const operations = this.#operations;
    this.#operations = [];
    const verdict = checkLinearizable(operations);
    if (!verdict.ok) throw new Error(`key ${verdict.key}: ${verdict.message}`);
    this.#undecidedKeys += verdict.undecidedKeys.length;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
