import { JointConfig } from "../quorum/joint.ts";
import { NodeSet } from "../quorum/node-set.ts";
import type { ConfChangeSingle } from "../raft.ts";
import { Configuration } from "../tracker/configuration.ts";
import { Inflights } from "../tracker/inflights.ts";
import { Progress } from "../tracker/progress.ts";
import type { ChangerOptions, GroupState } from "./changer.ts";
import { ConfChangeType } from "./conf-change-type.ts";

/** A configuration in the making. Changes of voters go to the incoming half; the outgoing one is only replaced as a whole. */
export class Draft {
  incoming: NodeSet;
  outgoing: NodeSet;
  learners: NodeSet;
  learnersNext: NodeSet;
  autoLeave: boolean;
  /** Own map; a {@link Progress} in it that changes its role is replaced by a copy. */
  readonly progress: Map<bigint, Progress>;
  readonly #options: ChangerOptions;

  constructor(state: GroupState, options: ChangerOptions) {
    const { voters, learners, learnersNext, autoLeave } = state.configuration;
    this.incoming = voters.incoming;
    this.outgoing = voters.outgoing;
    this.learners = learners;
    this.learnersNext = learnersNext;
    this.autoLeave = autoLeave;
    this.progress = new Map(state.progress);
    this.#options = options;
  }

  get isJoint(): boolean {
    return this.outgoing.size > 0;
  }

  /** Returns the reason of a refusal, or null. */
  apply(changes: readonly ConfChangeSingle[]): string | null {
    for (const { type, nodeId } of changes) {
      // Whoever applies entries sets the id of a change that it refuses to 0.
      if (nodeId === 0n) continue;
      if (type === ConfChangeType.addNode) this.#makeVoter(nodeId);
      else if (type === ConfChangeType.addLearnerNode) this.#makeLearner(nodeId);
      else if (type === ConfChangeType.removeNode) this.#remove(nodeId);
      else if (type !== ConfChangeType.updateNode) return `unexpected conf type ${type}`;
    }
    return this.incoming.size === 0 ? "removed all voters" : null;
  }

  leaveJoint(): void {
    const { outgoing, learnersNext } = this;
    this.outgoing = NodeSet.empty;
    this.learnersNext = NodeSet.empty;
    this.autoLeave = false;
    for (const id of learnersNext.ids) {
      this.learners = this.learners.with(id);
      this.#setRole(id, true);
    }
    for (const id of outgoing.ids) {
      if (!this.incoming.has(id) && !this.learners.has(id)) this.progress.delete(id);
    }
  }

  state(): GroupState {
    const { learners, learnersNext, autoLeave } = this;
    const voters = new JointConfig(this.incoming, this.outgoing);
    return {
      configuration: new Configuration({ voters, learners, learnersNext, autoLeave }),
      progress: this.progress,
    };
  }

  /** The first violated invariant, or null. */
  check(): string | null {
    return this.#checkTracked() ?? this.#checkStaged() ?? this.#checkLearners() ?? this.#checkNotJoint();
  }

  #makeVoter(id: bigint): void {
    this.incoming = this.incoming.with(id);
    this.learners = this.learners.without(id);
    this.learnersNext = this.learnersNext.without(id);
    if (this.progress.has(id)) this.#setRole(id, false);
    else this.#track(id, false);
  }

  #makeLearner(id: bigint): void {
    const known = this.progress.get(id);
    if (known?.isLearner === true) return;
    this.#remove(id);
    if (this.outgoing.has(id)) {
      this.learnersNext = this.learnersNext.with(id);
      return;
    }
    this.learners = this.learners.with(id);
    if (known === undefined) this.#track(id, true);
    else this.progress.set(id, known.withLearner(true));
  }

  /** From the incoming half and the learners. A voter of the outgoing half is tracked further. */
  #remove(id: bigint): void {
    this.incoming = this.incoming.without(id);
    this.learners = this.learners.without(id);
    this.learnersNext = this.learnersNext.without(id);
    if (!this.outgoing.has(id)) this.progress.delete(id);
  }

  #setRole(id: bigint, isLearner: boolean): void {
    const known = this.progress.get(id);
    if (known !== undefined && known.isLearner !== isLearner)
      this.progress.set(id, known.withLearner(isLearner));
  }

  #track(id: bigint, isLearner: boolean): void {
    const { lastIndex, inflightCountMax, inflightBytesMax } = this.#options;
    const inflights = new Inflights(inflightCountMax, inflightBytesMax);
    const progress = new Progress({ id, next: Math.max(lastIndex, 1), inflights, isLearner });
    // A member that nobody has heard of yet must not make check-quorum depose the leader that just added it.
    progress.recentActive = true;
    this.progress.set(id, progress);
  }

  #checkTracked(): string | null {
    const { incoming, outgoing, learners, learnersNext } = this;
    for (const id of [incoming, outgoing, learners, learnersNext].flatMap((set) => set.ids)) {
      if (!this.progress.has(id)) return `no progress for ${id}`;
    }
    return null;
  }

  #checkStaged(): string | null {
    for (const id of this.learnersNext.ids) {
      if (!this.outgoing.has(id)) return `${id} is in LearnersNext, but not Voters[1]`;
      if (this.#isLearner(id)) return `${id} is in LearnersNext, but is already marked as learner`;
    }
    return null;
  }

  #checkLearners(): string | null {
    for (const id of this.learners.ids) {
      if (this.outgoing.has(id)) return `${id} is in Learners and Voters[1]`;
      if (this.incoming.has(id)) return `${id} is in Learners and Voters[0]`;
      if (!this.#isLearner(id)) return `${id} is in Learners, but is not marked as learner`;
    }
    return null;
  }

  #checkNotJoint(): string | null {
    if (this.isJoint) return null;
    if (this.learnersNext.size > 0) return "cfg.LearnersNext must be nil when not joint";
    return this.autoLeave ? "AutoLeave must be false when not joint" : null;
  }

  #isLearner(id: bigint): boolean {
    return this.progress.get(id)?.isLearner === true;
  }
}
