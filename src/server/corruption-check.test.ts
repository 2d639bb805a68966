/** Corruption checks against made-up members: who is alarmed, and when a start is refused. */
import { deepEqual, rejects } from "node:assert/strict";
import { test } from "node:test";

import { SILENT_LOGGER } from "../telemetry/logger.ts";
import {
  checkAtStart,
  checkNow,
  type CompactionHash,
  CompactionHashCheck,
  type CorruptionHost,
  type MemberHash,
  type PeerHash,
} from "./corruption-check.ts";

const hashOf = (hash: number, change: Partial<MemberHash> = {}): MemberHash => ({
  hash,
  revision: 10,
  hashRevision: 10,
  compactRevision: 4,
  ...change,
});
const peer = (id: bigint, hash: MemberHash | null): PeerHash => ({ id, urls: [], hash, error: null });

function hostOf(facts: {
  own?: readonly MemberHash[];
  peers: readonly PeerHash[] | ((revision: number) => readonly PeerHash[]);
  compactions?: readonly CompactionHash[];
}) {
  const alarms: bigint[] = [];
  const asked: number[] = [];
  const own = [...(facts.own ?? [])];
  const host: CorruptionHost = {
    memberId: 1n,
    hash: () => Promise.resolve(own.length > 1 ? (own.shift() as MemberHash) : own[0]),
    peerHashes: (revision) => {
      asked.push(revision);
      return Promise.resolve(typeof facts.peers === "function" ? facts.peers(revision) : facts.peers);
    },
    readIndex: () => Promise.resolve(),
    compactionHashes: () => facts.compactions ?? [],
    raiseAlarm: (id) => alarms.push(id),
    log: SILENT_LOGGER,
  };
  return { host, alarms, asked };
}

test("a start is refused only for another hash at the same compacted revision", async () => {
  const own = [hashOf(7)];
  const fine = [peer(2n, hashOf(7)), peer(3n, hashOf(8, { compactRevision: 3 })), peer(4n, null)];
  await checkAtStart(hostOf({ own, peers: fine }).host);
  const differs = [...fine, peer(5n, hashOf(8))];
  await rejects(
    checkAtStart(hostOf({ own, peers: differs }).host),
    /^Error: 1 found data inconsistency with peers$/,
  );
});

test("now: whoever is ahead of the leader, or differs from it, is alarmed, one at a time", async () => {
  const cases: Array<[PeerHash[], bigint[]]> = [
    [[peer(2n, hashOf(7)), peer(3n, null)], []],
    [[peer(2n, hashOf(8)), peer(3n, hashOf(9))], [2n]],
    [[peer(2n, hashOf(8, { compactRevision: 3 }))], []],
    [[peer(2n, hashOf(7, { revision: 11 }))], [2n]],
    [[peer(2n, hashOf(8, { compactRevision: 5 }))], [2n]],
  ];
  for (const [peers, expected] of cases) {
    const { host, alarms } = hostOf({ own: [hashOf(7)], peers });
    await checkNow(host);
    deepEqual(alarms, expected);
  }
  const { host, alarms } = hostOf({ own: [hashOf(7), hashOf(8)], peers: [peer(2n, hashOf(7))] });
  await checkNow(host);
  deepEqual(alarms, [1n], "its own hash has changed without a revision");
});

test("compactions: who differs from the majority is alarmed; without one, nobody in particular", async () => {
  const compactions = [{ revision: 9, compactRevision: 4, hash: 7 }];
  const cases: Array<[PeerHash[], bigint[]]> = [
    [[peer(2n, hashOf(7)), peer(3n, hashOf(8))], [3n]],
    [[peer(2n, hashOf(8)), peer(3n, hashOf(8))], [1n]],
    [[peer(2n, hashOf(8)), peer(3n, hashOf(9))], [0n]],
    [[peer(2n, hashOf(8, { compactRevision: 9 })), peer(3n, null)], []],
  ];
  for (const [peers, expected] of cases) {
    const { host, alarms } = hostOf({ peers, compactions });
    await new CompactionHashCheck(host).run();
    deepEqual(alarms, expected);
  }
});

test("compactions: older ones are asked for until one could be compared with all, and never again", async () => {
  const compactions = [3, 6, 9].map((revision) => ({ revision, compactRevision: 4, hash: 7 }));
  const { host, asked } = hostOf({
    compactions,
    peers: (revision) => [peer(2n, revision === 9 ? null : hashOf(7))],
  });
  const check = new CompactionHashCheck(host);
  await check.run();
  deepEqual(asked, [9, 6]);
  await check.run();
  deepEqual(asked, [9, 6, 9], "6 is known to be equal, and 3 lies below");
});
