/**
 * Members are killed (kill -9) under load: watches that are resumed tell every change exactly once, and leases live as long as they
 * were promised and not much longer. The long version is `watch-faults.long.ts`.
 */
import { test } from "node:test";
import { killAgainAndAgain } from "./kill-rounds.ts";

test("watches and leases on a member that is killed", { timeout: 120_000 }, (t) =>
  killAgainAndAgain(t, 1, 2),
);

test("watches and leases on a cluster whose leader is killed", { timeout: 120_000 }, (t) =>
  killAgainAndAgain(t, 3, 1),
);
