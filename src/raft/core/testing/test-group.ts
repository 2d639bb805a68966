import { encodeConfChange } from "../../../proto/conf-change.ts";
import { EntryType, type ConfState, type ConfChangeSingle, type RaftMessage } from "../../raft.ts";
import type { RaftOptions } from "../raft-options.ts";
import { bytesOf, TestMember, type StartState } from "./test-member.ts";

/** Members and the network between them: in order, at once, and as unreliable as a test wants it. */
export class TestGroup {
  readonly members = new Map<bigint, TestMember>();
  /** What was sent and not cut off, in order. */
  readonly delivered: RaftMessage[] = [];
  /** Messages for which this is true get lost. */
  loses: (message: RaftMessage) => boolean = () => false;
  readonly #rules: Partial<RaftOptions>;

  constructor(ids: readonly bigint[], confState: ConfState, rules: Partial<RaftOptions> = {}) {
    this.#rules = rules;
    for (const id of ids) this.add(id, confState);
  }

  /** A further member, or one in place of the old of that id. */
  add(id: bigint, confState: ConfState, start: StartState = {}): TestMember {
    const member = new TestMember(id, confState, { ...start, rules: { ...this.#rules, ...start.rules } });
    this.members.set(id, member);
    return member;
  }

  get(id: bigint): TestMember {
    const member = this.members.get(id);
    if (member === undefined) throw new RangeError(`no member ${id}`);
    return member;
  }

  /** Nothing gets to or from these. */
  isolate(...ids: bigint[]): void {
    this.loses = ({ from, to }) => ids.includes(from) || ids.includes(to);
  }

  /** Members reach only those on their own side. */
  split(...sides: bigint[][]): void {
    const sideOf = (id: bigint): number => sides.findIndex((side) => side.includes(id));
    this.loses = ({ from, to }) => sideOf(from) !== sideOf(to);
  }

  heal(): void {
    this.loses = () => false;
  }

  /** Delivers until nobody has anything to do. */
  settle(): void {
    for (let sent = this.#flushAll(); sent.length > 0; sent = this.#flushAll()) {
      for (const message of sent) {
        if (this.loses(message)) continue;
        this.delivered.push(message);
        this.members.get(message.to)?.core.step(message);
      }
    }
  }

  /** `id` campaigns, and what comes of it settles. */
  elect(id: bigint): TestMember {
    const member = this.get(id);
    member.core.campaign();
    this.settle();
    return member;
  }

  /** So many ticks of one member, each settled. */
  tick(id: bigint, count = 1): void {
    for (let i = 0; i < count; i++) {
      this.get(id).core.tick();
      this.settle();
    }
  }

  propose(id: bigint, text: string): number {
    const result = this.get(id).propose(text);
    this.settle();
    return result;
  }

  /** A V1 change. Returns true if it was taken. */
  change(id: bigint, change: ConfChangeSingle): boolean {
    const data = encodeConfChange({ id: 0n, context: bytesOf(""), ...change });
    return this.#proposeChange(id, EntryType.confChange, data);
  }

  /** A V2 change: transition 1 leaves a joint configuration by itself, 2 when told so by an empty change. Ids of one byte. */
  changeJointly(id: bigint, transition: number, changes: readonly ConfChangeSingle[]): boolean {
    const parts = changes.flatMap(({ type, nodeId }) => [0x12, 4, 0x08, type, 0x10, Number(nodeId)]);
    return this.#proposeChange(id, EntryType.confChangeV2, Uint8Array.from([0x08, transition, ...parts]));
  }

  #proposeChange(id: bigint, type: number, data: Uint8Array): boolean {
    const index = this.get(id).core.propose(type, data, 0, data.length);
    this.settle();
    return index !== 0;
  }

  #flushAll(): RaftMessage[] {
    return [...this.members.values()].flatMap((member) => member.flush());
  }
}
