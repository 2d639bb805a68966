import { equal } from "node:assert/strict";
import { test } from "node:test";
import { ErrorId } from "../base/errors.ts";
import type { Member } from "./membership.ts";
import { checkAdd, checkPromote, checkReady, checkRemove, HEALTHY_MS_MIN } from "./reconfig.ts";

const NOW_MS = 1_700_000_000_000;
const { none, memberNotEnoughStarted, unhealthy, learnerNotReady, memberNotFound } = ErrorId;

/**
 * A group as one letter a member, ids from 1, this one first: `s` started and connected, `y` connected for a moment only, `d`
 * started and down, `u` never started, `l` learner.
 */
function group(letters: string, match: Record<string, number> = {}) {
  const members: Member[] = Array.from(letters).map((letter, i) => ({
    id: BigInt(i + 1),
    name: letter === "u" ? "" : `m${i + 1}`,
    peerUrls: [],
    clientUrls: [],
    isLearner: letter === "l",
  }));
  const activeSinceMs: Record<string, number> = {};
  Array.from(letters).forEach((letter, i) => {
    if (letter === "s") activeSinceMs[`${i + 1}`] = NOW_MS - HEALTHY_MS_MIN - 1;
    else if (letter === "y") activeSinceMs[`${i + 1}`] = NOW_MS - 1;
  });
  delete activeSinceMs["1"];
  return { members, selfId: 1n, report: { lastIndex: 100, activeSinceMs, match }, nowMs: NOW_MS };
}

test("adding a voter needs a quorum that is started, and connected while the new one is down", () => {
  const cases: Array<[string, number]> = [
    ["s", none],
    ["u", memberNotEnoughStarted],
    ["ss", none],
    ["su", memberNotEnoughStarted],
    ["sd", unhealthy],
    ["sss", none],
    ["ssd", unhealthy],
    ["sssd", none],
    ["ssy", unhealthy],
    ["ssl", none],
    ["sssdd", unhealthy],
    ["ssssd", none],
  ];
  for (const [letters, errorId] of cases) equal(checkAdd(group(letters), false), errorId, letters);
});

test("adding a learner needs the connections, not the started ones", () => {
  for (const [letters, errorId] of [
    ["s", none],
    ["su", unhealthy],
    ["sd", unhealthy],
    ["ssss", none],
  ] as const)
    equal(checkAdd(group(letters), true), errorId, letters);
});

test("a removal leaves a quorum of started and connected members", () => {
  const cases: Array<[string, bigint, number]> = [
    ["s", 1n, memberNotEnoughStarted],
    ["sl", 1n, memberNotEnoughStarted],
    ["sl", 2n, none],
    ["ss", 2n, none],
    ["ss", 1n, none],
    ["sd", 1n, unhealthy],
    ["sd", 2n, none],
    ["su", 1n, memberNotEnoughStarted],
    ["su", 2n, none],
    ["sss", 3n, none],
    ["ssd", 2n, unhealthy],
    ["ssd", 3n, none],
    ["syd", 2n, unhealthy],
    ["sss", 99n, none],
  ];
  for (const [letters, id, errorId] of cases)
    equal(checkRemove(group(letters), id), errorId, `${letters} - ${id}`);
});

test("a promotion leaves a quorum of started members", () => {
  for (const [letters, errorId] of [
    ["sl", none],
    ["sul", none],
    ["suul", memberNotEnoughStarted],
  ] as const)
    equal(checkPromote(group(letters)), errorId, letters);
});

test("a learner is ready with nine tenths of the leader's log", () => {
  const ready = (learnerMatch: number): number => checkReady(group("sl", { 1: 100, 2: learnerMatch }), 2n);
  equal(ready(89), learnerNotReady);
  equal(ready(90), none);
  equal(checkReady(group("sl", { 1: 100, 2: 100 }), 3n), memberNotFound);
});
