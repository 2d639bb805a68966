/** As `watch-faults.test.ts`, for as many rounds as ROUNDS says. */
import { test } from "node:test";
import { killAgainAndAgain } from "./kill-rounds.ts";

const ROUNDS = Number(process.env["ROUNDS"] ?? 20);
const timeout = 60_000 + ROUNDS * 20_000;

test("watches and leases on a member that is killed", { timeout }, (t) => killAgainAndAgain(t, 1, ROUNDS));

test("watches and leases on a cluster whose leader is killed", { timeout }, (t) =>
  killAgainAndAgain(t, 3, ROUNDS),
);
