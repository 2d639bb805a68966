/** The leader (or the only member) is killed and started again, under a load of writes, watches and leases. */
import type { TestContext } from "node:test";
import { TestCluster } from "../support/cluster.ts";
import { WatchLoad } from "./watch-fault.ts";

const WRITES_BETWEEN_KILLS = 150;

/** `rounds` kills of the leader of `size` members, and all checks afterwards. */
export async function killAgainAndAgain(t: TestContext, size: number, rounds: number): Promise<void> {
  const cluster = await new TestCluster(t, { size }).start();
  await cluster.leader();
  const load = new WatchLoad(() => cluster.running.map(({ address }) => address));
  try {
    await load.keepLease();
    for (let round = 0; round < rounds; round++) {
      await load.shortLease();
      await load.moreWrites(WRITES_BETWEEN_KILLS);
      const leader = await cluster.leader();
      await cluster.member(leader).kill();
      if (size > 1) await load.moreWrites(WRITES_BETWEEN_KILLS);
      await cluster.restart(leader);
      await load.moreWrites(WRITES_BETWEEN_KILLS);
      await load.shortLease();
    }
    await load.finish(t);
  } catch (error) {
    await load.abandon();
    throw error;
  }
}
