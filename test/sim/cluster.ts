/** The cluster as faults, administrators and checks see it. */

import type { FoundingMember } from "../../src/raft/bootstrap.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimulatedMain } from "./simulated-main.ts";
import type { SimulatedMember } from "./simulated-member.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";

export interface SimulatedCluster {
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  /** All that there are, also those that are down; removed ones are taken out. */
  readonly members: Map<bigint, SimulatedMember>;
  /** Processes that take requests: not those of a machine that the cluster has never heard of. */
  mains(): readonly SimulatedMain[];
  /** Highest revision that a client has seen. */
  readonly newestRevision: number;
  /** A new machine; its process is not started. */
  addMember(id: bigint, founding: readonly FoundingMember[]): SimulatedMember;
}

export function founder(id: bigint): FoundingMember {
  return { id, name: `m${id}`, peerUrls: [`http://m${id}:2380`] };
}
