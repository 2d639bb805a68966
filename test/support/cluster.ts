/**
 * Clusters of real member processes, on loopback or each member in a network namespace of its own. Everything that is started
 * belongs to a test and is gone when it ends.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Cluster as ClusterService, Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import type { Program } from "./binaries.ts";
import { EtcdClient, failureOf } from "./etcd-client.ts";
import { launchMember, type Member } from "./member.ts";
import type { Namespaces } from "./namespaces.ts";
import { freePorts } from "./ports.ts";
import { memoryDir, tempDir, type Cleanup } from "./temp-dir.ts";
import { waitFor } from "./wait.ts";

/** Short enough for quick tests, long enough that a loaded machine holds no election by accident. */
export const HEARTBEAT_MS = 100;
export const ELECTION_MS = 1000;
// An election, and what a loaded machine adds.
const LEADER_MS = 20_000;
const CALL_MS = 3_000;
const RETRY_MS = 250;

export interface ClusterOptions {
  readonly size: number;
  /** By name; ours, unless given. */
  readonly program?: (name: string) => Program | undefined;
  readonly args?: readonly string[];
  /** Of one member, by name. */
  readonly argsOf?: (name: string) => readonly string[];
  /** One namespace a member; loopback unless given. */
  readonly namespaces?: Namespaces;
  /** Data in memory: quicker, and it survives kill -9. Off for tests of the disk. */
  readonly onDisk?: boolean;
  /** Folder for the data of a member, by name, in place of one of the cluster's own. */
  readonly dataDir?: (name: string) => string | undefined;
}

/** Where a member lives; stays the same over its restarts. */
interface Seat {
  readonly name: string;
  readonly host: string;
  readonly ports: { readonly client: number; readonly peer: number };
  readonly dataDir: string;
}

/** What a member says of itself, ids in hex. */
export interface MemberStatus {
  readonly id: string;
  readonly leader: string;
  readonly term: number;
  readonly revision: number;
  readonly raftIndex: number;
  readonly appliedIndex: number;
  readonly isLearner: boolean;
}

export class TestCluster {
  readonly options: ClusterOptions;
  /** Running and dead ones by name. */
  readonly members = new Map<string, Member>();
  readonly #t: Cleanup;
  readonly #folder: string;
  readonly #seats = new Map<string, Seat>();
  #created = 0;

  constructor(t: Cleanup, options: ClusterOptions) {
    this.options = options;
    this.#t = t;
    this.#folder = options.onDisk === true ? tempDir(t, "cluster") : memoryDir(t, "cluster");
  }

  /** Starts the founding members and waits until all serve. */
  async start(): Promise<this> {
    const seats: Seat[] = [];
    for (let i = 0; i < this.options.size; i++) seats.push(await this.makeSeat());
    const members = seats.map((seat) => `${seat.name}=${peerUrl(seat)}`).join(",");
    await Promise.all(seats.map((seat) => this.#launch(seat, { members, state: "new" })));
    await Promise.all([...this.members.values()].map((member) => member.ready()));
    return this;
  }

  get names(): string[] {
    return [...this.members.keys()];
  }

  /** Members whose process runs. */
  get running(): Member[] {
    return [...this.members.values()].filter(({ exit }) => exit === undefined);
  }

  member(name: string): Member {
    const member = this.members.get(name);
    if (member === undefined) throw new Error(`no member ${name}`);
    return member;
  }

  dataDir(name: string): string {
    return this.#seat(name).dataDir;
  }

  /** Starts a member again on what it has; waits until it serves, unless told not to. */
  async restart(
    name: string,
    options: { wait?: boolean; args?: readonly string[]; program?: Program } = {},
  ): Promise<Member> {
    const old = this.member(name);
    await old.exited;
    const cluster = old.options.cluster ?? { members: "", state: "new" };
    const member = await this.#launch(this.#seat(name), cluster, options.args, options.program);
    return options.wait === false ? member : member.ready();
  }

  /** A place for a member that is not there yet. */
  async makeSeat(): Promise<Seat> {
    const name = `m${++this.#created}`;
    const { namespaces } = this.options;
    const host = namespaces === undefined ? "127.0.0.1" : namespaces.add(name);
    const [client, peer] = namespaces === undefined ? await freePorts(2) : [2379, 2380];
    const seat: Seat = {
      name,
      host,
      ports: { client, peer },
      dataDir: this.options.dataDir?.(name) ?? join(this.#folder, name),
    };
    this.#seats.set(name, seat);
    return seat;
  }

  /** MemberAdd, then the new member's start; waits until it serves, unless told not to. Returns its name. */
  async grow(options: { learner?: boolean; wait?: boolean; program?: Program } = {}): Promise<string> {
    const seat = await this.makeSeat();
    const request = { peerURLs: [peerUrl(seat)], isLearner: options.learner ?? false };
    const added = await this.#onceHealthy((client) => client.call(ClusterService.method.memberAdd, request));
    const members = added.members.map((member) => {
      const isNew = member.ID === added.member?.ID;
      return `${isNew ? seat.name : member.name}=${member.peerURLs[0]}`;
    });
    const member = await this.#launch(
      seat,
      { members: members.join(","), state: "existing" },
      undefined,
      options.program,
    );
    if (options.wait !== false) await member.ready();
    return seat.name;
  }

  /** MemberRemove of a member by name, through another one; its process is ended and its data deleted. */
  async remove(name: string): Promise<void> {
    const id = await this.idOf(name);
    const others = this.running.filter((member) => member !== this.member(name));
    await this.#onceHealthy((client) => client.call(ClusterService.method.memberRemove, { ID: id }), others);
    await this.member(name).stop();
    this.members.delete(name);
    rmSync(this.#seat(name).dataDir, { recursive: true, force: true });
  }

  /** Deletes what a dead member had stored. */
  wipe(name: string): void {
    rmSync(this.#seat(name).dataDir, { recursive: true, force: true });
  }

  async idOf(name: string): Promise<bigint> {
    const seat = this.#seat(name);
    const list = await this.callAny((client) => client.call(ClusterService.method.memberList, {}));
    const found = list.members.find(({ peerURLs }) => peerURLs.includes(peerUrl(seat)));
    if (found === undefined) throw new Error(`${name} is not in the member list`);
    return found.ID;
  }

  /** The member that `members` (all that run) agree to be led by; waits for one. */
  async leader(members: readonly Member[] = this.running): Promise<string> {
    return waitFor("a leader all agree on", LEADER_MS, async () => {
      const states = await Promise.all(members.map((member) => statusOf(member).catch(() => null)));
      const leader = states[0]?.leader;
      if (leader === undefined || leader === "0" || states.some((state) => state?.leader !== leader)) return;
      const at = states.findIndex((state) => state?.id === leader);
      return this.names.find((name) => this.member(name) === members[at]);
    });
  }

  /** A running member that does not lead. */
  async follower(): Promise<string> {
    const leader = await this.leader();
    const name = this.names.find((each) => each !== leader && this.member(each).exit === undefined);
    if (name === undefined) throw new Error("no follower runs");
    return name;
  }

  /** Waits until all running members have applied the same and show the same revision. */
  async converged(): Promise<MemberStatus[]> {
    return waitFor("all members to be equally far", LEADER_MS, async () => {
      const states = await Promise.all(this.running.map((member) => statusOf(member).catch(() => null)));
      const [first] = states;
      if (first === undefined || first === null) return;
      const equal = states.every(
        (state) => state?.revision === first.revision && state.appliedIndex === first.appliedIndex,
      );
      return equal ? (states as MemberStatus[]) : undefined;
    });
  }

  /** One call to the first of `members` that answers it. */
  async callAny<T>(
    call: (client: EtcdClient) => Promise<T>,
    members: readonly Member[] = this.running,
  ): Promise<T> {
    let failure: unknown = new Error("no member runs");
    for (const member of members) {
      const client = new EtcdClient(member.address, { deadlineMs: 10_000 });
      try {
        return await call(client);
      } catch (error) {
        failure = error;
      } finally {
        client.close();
      }
    }
    throw failure;
  }

  /** Strict reconfiguration wants members to have been connected for 5 s: tries until they are. */
  #onceHealthy<T>(call: (client: EtcdClient) => Promise<T>, members?: readonly Member[]): Promise<T> {
    return waitFor("a healthy cluster", LEADER_MS, async () => {
      try {
        return await this.callAny(call, members);
      } catch (error) {
        const { message } = failureOf(error);
        if (message !== "etcdserver: unhealthy cluster") throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        return undefined;
      }
    });
  }

  async #launch(
    seat: Seat,
    cluster: { readonly members: string; readonly state: "new" | "existing" },
    args: readonly string[] = [],
    program: Program | undefined = this.options.program?.(seat.name),
  ): Promise<Member> {
    const { namespaces } = this.options;
    const member = await launchMember(this.#t, {
      dataDir: seat.dataDir,
      name: seat.name,
      host: seat.host,
      ports: seat.ports,
      cluster,
      args: [
        `--heartbeat-interval=${HEARTBEAT_MS}`,
        `--election-timeout=${ELECTION_MS}`,
        ...(this.options.args ?? []),
        ...(this.options.argsOf?.(seat.name) ?? []),
        ...args,
      ],
      ...(program && { program }),
      ...(namespaces && { wrapper: namespaces.wrapper(seat.name) }),
    });
    this.members.set(seat.name, member);
    return member;
  }

  #seat(name: string): Seat {
    const seat = this.#seats.get(name);
    if (seat === undefined) throw new Error(`no member ${name}`);
    return seat;
  }
}

function peerUrl(seat: Seat): string {
  return `http://${seat.host}:${seat.ports.peer}`;
}

/** Maintenance.Status of one member. */
export async function statusOf(member: Member): Promise<MemberStatus> {
  const client = new EtcdClient(member.address, { deadlineMs: CALL_MS });
  try {
    const status = await client.call(Maintenance.method.status, {});
    return {
      id: (status.header?.memberId ?? 0n).toString(16),
      leader: status.leader.toString(16),
      term: Number(status.raftTerm),
      revision: Number(status.header?.revision),
      raftIndex: Number(status.raftIndex),
      appliedIndex: Number(status.raftAppliedIndex),
      isLearner: status.isLearner,
    };
  } finally {
    client.close();
  }
}
