import type { PeerNetwork } from "../src/raft/peer-network.ts";
import type { RaftLoop } from "../src/raft/raft-loop.ts";

/** How often it is looked, and for how long: whoever is not connected by then is waited for no more. */
const LOOK_INTERVAL_MS = 50;
const LOOKS_MAX = 100;
/** Ticks left of the election time-out: enough for a leader that is there to be heard of. */
const TICKS_LEFT = 2;

/**
 * --initial-election-tick-advance: a member that starts, is connected to several others and hears of no leader need not wait out
 * its first election time-out, which with long time-outs takes most of a start.
 */
export function advanceElection(loop: RaftLoop, network: PeerNetwork, electionTicks: number): void {
  let looks = 0;
  const timer = setInterval(() => {
    const { confState, leaderId } = loop.consensus;
    const members = [...confState.voters, ...confState.learners];
    const active = members.filter((id) => network.activeSinceMs(id) > 0).length;
    if (active < 2 && ++looks < LOOKS_MAX) return;
    clearInterval(timer);
    if (active < 2 || leaderId !== 0n) return;
    for (let ticks = TICKS_LEFT; ticks < electionTicks; ticks++) loop.tick();
  }, LOOK_INTERVAL_MS);
}
