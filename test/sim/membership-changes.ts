/** Administrators: they add learners, promote, remove and replace members, and hand leadership over, at the worst of times. */

import type { Prng } from "../../src/base/prng.ts";
import { type MembershipReport, formatMember, formatPromotion } from "../../src/cluster/membership.ts";
import { ConfChangeType } from "../../src/proto/conf-change.ts";
import { type SimulatedCluster, founder } from "./cluster.ts";
import type { SimulatedMember } from "./simulated-member.ts";

const MEMBERS_MAX = 5;
const utf8 = new TextEncoder();

export class MembershipChanges {
  readonly #cluster: SimulatedCluster;
  readonly #random: Prng;
  #nextId: bigint;

  constructor(cluster: SimulatedCluster, random: Prng) {
    this.#cluster = cluster;
    this.#random = random;
    this.#nextId = BigInt(cluster.members.size + 1);
  }

  /** Hands leadership to any member, asked of the leader or of another. */
  transfer(): void {
    const { members } = this.#cluster;
    const mains = this.#cluster.mains();
    if (mains.length > 0) this.#random.pick(mains).transferLeader(this.#random.pick([...members.keys()]));
  }

  /** The next step towards another cluster: promote a learner if there is one, else add or remove a member. */
  next(): void {
    const running = [...this.#cluster.members.values()].filter(({ process }) => process !== null);
    if (running.length === 0) return;
    const asked = this.#random.pick(running);
    const report = this.#reportOf(asked);
    if (report === null) return;
    const learner = report.members.find(({ isLearner }) => isLearner);
    if (learner !== undefined && this.#random.chance(0.8)) this.#promote(asked, learner);
    else if (report.members.length < MEMBERS_MAX && this.#random.chance(0.5)) this.#addLearner(asked);
    else if (report.members.length > 1) this.#remove(asked, report);
  }

  /** A member has heard that it was removed: its machine goes. */
  memberRemoved(member: SimulatedMember): void {
    member.kill();
    this.#cluster.members.delete(member.id);
  }

  #reportOf({ process }: SimulatedMember): MembershipReport | null {
    const json = process?.membership ?? "";
    return json === "" ? null : (JSON.parse(json) as MembershipReport);
  }

  #addLearner(asked: SimulatedMember): void {
    const id = this.#nextId++;
    const { name, peerUrls } = founder(id);
    const context = utf8.encode(formatMember({ id, name, peerUrls, clientUrls: [], isLearner: true }));
    // Its machine is there before the change is: as soon as the leader knows the member, it talks to it.
    const member = this.#cluster.addMember(id, []);
    asked.process?.main.proposeConfChange(
      { type: ConfChangeType.addLearnerNode, nodeId: id, context },
      () => undefined,
    );
    if (!member.isUp) member.start();
  }

  #promote(asked: SimulatedMember, learner: MembershipReport["members"][number]): void {
    const id = BigInt(`0x${learner.id}`);
    const context = utf8.encode(formatPromotion(id));
    asked.process?.main.proposeConfChange(
      { type: ConfChangeType.addNode, nodeId: id, context },
      () => undefined,
    );
  }

  #remove(asked: SimulatedMember, report: MembershipReport): void {
    const voters = report.members.filter(({ isLearner }) => !isLearner);
    if (voters.length <= 1) return;
    const nodeId = BigInt(`0x${this.#random.pick(report.members).id}`);
    if (voters.length <= 2 && !this.#random.chance(0.2)) return;
    asked.process?.main.proposeConfChange(
      { type: ConfChangeType.removeNode, nodeId, context: new Uint8Array(0) },
      () => undefined,
    );
  }
}
