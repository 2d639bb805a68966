/** `--auto-promote-learners`: the leader makes voters of learners as soon as they have caught up. Does nothing on other members. */

import { formatId } from "../cluster/identity.ts";
import type { Logger } from "../telemetry/logger.ts";
import { CallFailure } from "./internal-call.ts";
import type { Reconfigurer } from "./reconfigurer.ts";
import type { Router } from "./router.ts";

const CHECK_INTERVAL_MS = 1000;

export interface AutoPromoterOptions {
  readonly router: Router;
  readonly reconfigurer: Reconfigurer;
  readonly log: Logger;
}

export class AutoPromoter {
  readonly #options: AutoPromoterOptions;
  readonly #timer: NodeJS.Timeout;
  #checking = false;

  constructor(options: AutoPromoterOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.check(), CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Promotes the learners that are ready, one after the other. Never rejects: what cannot be promoted now is looked at again. */
  async check(): Promise<void> {
    const { status } = this.#options.router;
    if (this.#checking || !status.isLeader) return;
    this.#checking = true;
    // One that has not started has no name.
    const learners = status.members.filter((member) => member.isLearner && member.name !== "");
    for (const { id } of learners) await this.#tryPromote(id);
    this.#checking = false;
  }

  async #tryPromote(id: bigint): Promise<void> {
    const { reconfigurer, log } = this.#options;
    const fields = { "learner-id": formatId(id) };
    try {
      await reconfigurer.promoteHere(id);
      log.info("promoted a learner that has caught up", fields);
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      log.debug("a learner is not promoted yet", { ...fields, reason: error.message });
    }
  }
}
