/** Leadership that is handed over: on request, and before a leader stops, so that its cluster need not wait for an election. */

import { formatId } from "../cluster/identity.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Router } from "./router.ts";

/** How long raft may take to tell who is connected. */
const REPORT_WAIT_MS = 500;

/** Has `target` lead. Resolves with whether it does within `timeoutMs`. */
export async function transferLeadership(
  router: Router,
  target: bigint,
  timeoutMs: number,
): Promise<boolean> {
  const { status } = router;
  router.transferLeader(target);
  return status.until(() => status.leaderId === target, timeoutMs);
}

/**
 * On a leader that is about to stop: has the voter lead whose connection has worked longest, and waits until it leads no more itself,
 * which also ends the wait when the others are gone. Raft gives a transfer up after one election time-out. Never rejects; without
 * others it does nothing.
 */
export async function handOverLeadership(router: Router, timeoutMs: number, log: Logger): Promise<void> {
  const { status } = router;
  const others = status.members.filter((member) => !member.isLearner && member.id !== status.memberId);
  if (!status.isLeader || others.length === 0) return;
  const fields = { "local-member-id": formatId(status.memberId) };
  try {
    const { activeSinceMs } = await router.raftReport(REPORT_WAIT_MS);
    const since = (id: bigint): number => activeSinceMs[formatId(id)] || Infinity;
    const [target] = others.map(({ id }) => id).sort((a, b) => since(a) - since(b));
    if (since(target) === Infinity) throw new Error("no other voter is connected");
    router.transferLeader(target);
    if (!(await status.until(() => !status.isLeader, timeoutMs))) throw new Error("it took too long");
    log.info("leadership transfer finished", {
      ...fields,
      "new-leader-member-id": formatId(status.leaderId),
    });
  } catch (error) {
    log.warn("leadership transfer failed", { ...fields, error });
  }
}
