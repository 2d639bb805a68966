/**
 * Works out configuration changes: what the configuration and the progress of its members are after a change, or why the change is
 * not allowed. Pure: nothing that was given is altered, so a refused change leaves no trace.
 *
 * A simple change moves at most one voter. Everything else goes through a joint configuration (Raft thesis, section 4.3):
 *
 * ```
 *   (1 2 3) ──enterJoint(remove 3, add 4)──▶ (1 2 4)&&(1 2 3) ──leaveJoint──▶ (1 2 4)
 * ```
 *
 * Read next: `draft.ts` (a single change), `restore.ts` (a configuration from a snapshot).
 */
import type { ConfChangeSingle } from "../raft.ts";
import type { Configuration } from "../tracker/configuration.ts";
import type { InflightLimits, ProgressMap } from "../tracker/tracker.ts";
import { Draft } from "./draft.ts";

/** A configuration and the progress of exactly its members. */
export interface GroupState {
  readonly configuration: Configuration;
  readonly progress: ProgressMap;
}

/** The new state, or the reason of the refusal in etcd-io/raft's words. */
export type ChangeResult =
  | ({ readonly ok: true } & GroupState)
  | { readonly ok: false; readonly error: string };

export interface ChangerOptions extends InflightLimits {
  /** Last index of the leader's log: where probing of a new member begins. */
  readonly lastIndex: number;
}

export class Changer {
  readonly #state: GroupState;
  readonly #options: ChangerOptions;

  constructor(state: GroupState, options: ChangerOptions) {
    this.#state = state;
    this.#options = options;
  }

  /** Changes that together move at most one voter; not while the configuration is joint. */
  simple(changes: readonly ConfChangeSingle[]): ChangeResult {
    const draft = new Draft(this.#state, this.#options);
    const invalid = draft.check();
    if (invalid !== null) return refuse(invalid);
    const before = this.#state.configuration.voters;
    if (before.isJoint) return refuse("can't apply simple config change in joint config");
    const refused = draft.apply(changes);
    if (refused !== null) return refuse(refused);
    if (before.incoming.differenceSize(draft.incoming) > 1)
      return refuse("more than one voter changed without entering joint config");
    return finish(draft);
  }

  /** Makes the present voters the outgoing half and applies `changes` to the incoming one. */
  enterJoint(autoLeave: boolean, changes: readonly ConfChangeSingle[]): ChangeResult {
    const draft = new Draft(this.#state, this.#options);
    const invalid = draft.check();
    if (invalid !== null) return refuse(invalid);
    if (draft.isJoint) return refuse("config is already joint");
    if (draft.incoming.size === 0) return refuse("can't make a zero-voter config joint");
    draft.outgoing = draft.incoming;
    const refused = draft.apply(changes);
    if (refused !== null) return refuse(refused);
    draft.autoLeave = autoLeave;
    return finish(draft);
  }

  /** Drops the outgoing half; who stood in it only is gone, and staged learners become learners. */
  leaveJoint(): ChangeResult {
    const draft = new Draft(this.#state, this.#options);
    const invalid = draft.check();
    if (invalid !== null) return refuse(invalid);
    if (!draft.isJoint) return refuse("can't leave a non-joint config");
    draft.leaveJoint();
    return finish(draft);
  }
}

function finish(draft: Draft): ChangeResult {
  const invalid = draft.check();
  return invalid === null ? { ok: true, ...draft.state() } : refuse(invalid);
}

function refuse(error: string): ChangeResult {
  return { ok: false, error };
}
