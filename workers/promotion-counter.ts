import type { Router } from "../src/server/router.ts";

/** Counts learners that became voters while this member led: for metrics. */
export class PromotionCounter {
  succeeded = 0;
  #learners = new Set<bigint>();

  constructor({ status }: Router) {
    status.listeners.add(() => {
      const learners = status.members.filter(({ isLearner }) => isLearner).map(({ id }) => id);
      if (status.isLeader) {
        for (const id of this.#learners) if (status.member(id)?.isLearner === false) this.succeeded++;
      }
      this.#learners = new Set(learners);
    });
  }
}
