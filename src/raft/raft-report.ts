/** What the raft thread tells main when asked (record `raftReport`): for the checks before a membership change, and for Status. */

import type { PeerNetwork } from "./peer-network.ts";
import type { Consensus } from "./raft.ts";

/** JSON of the answer. Ids are lower-case hex. */
export interface RaftReport {
  readonly leader: string;
  readonly isLeader: boolean;
  readonly lastIndex: number;
  readonly confState: {
    readonly voters: readonly string[];
    readonly learners: readonly string[];
  };
  /** By member, this one left out: since when its peer connection works without interruption, Unix ms; 0 = it does not. */
  readonly activeSinceMs: Readonly<Record<string, number>>;
  /** By member, on the leader only: the index up to which it is known to hold the log. */
  readonly match: Readonly<Record<string, number>>;
}

/** The answer's bytes: a {@link RaftReport} as JSON. */
export function raftReport(consensus: Consensus, network: PeerNetwork): Uint8Array {
  const { nodeId, leaderId, isLeader, lastIndex, confState } = consensus;
  const { voters, learners } = confState;
  const others = [...voters, ...learners].filter((id) => id !== nodeId);
  const report: RaftReport = {
    leader: formatId(leaderId),
    isLeader,
    lastIndex,
    confState: { voters: voters.map(formatId), learners: learners.map(formatId) },
    activeSinceMs: Object.fromEntries(others.map((id) => [formatId(id), network.activeSinceMs(id)])),
    match: Object.fromEntries(consensus.progress().map(({ id, match }) => [formatId(id), match])),
  };
  return new TextEncoder().encode(JSON.stringify(report));
}

function formatId(id: bigint): string {
  return id.toString(16);
}
