/** Equal state at equal revision: every member's HashKV, as a client would ask for it. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { HashKVRequestSchema, HashKVResponseSchema } from "../../src/proto/gen/rpc_pb.ts";
import { ReadKind } from "../../src/ring/record-types.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { InvariantError } from "./invariants.ts";
import type { SimulatedMember } from "./simulated-member.ts";

const PATIENCE_MS = 10_000;
const STEP_MS = 50;

interface Answered {
  readonly name: string;
  readonly revision: number;
  readonly hash: number;
}

/** Asks all members that run for their hash, when nothing is written any more. Throws if two differ at one revision, or one is silent. */
export async function compareStates({ scheduler, members }: SimulatedCluster): Promise<void> {
  const running = [...members.values()].filter(({ process }) => process !== null);
  const answers: Answered[] = [];
  const deadlineMs = scheduler.nowMs + PATIENCE_MS;
  for (const member of running) askHash(member, answers);
  while (answers.length < running.length) {
    if (scheduler.nowMs >= deadlineMs)
      throw new InvariantError(`only ${answers.length} of ${running.length} members tell their hash`);
    await scheduler.runUntil(scheduler.nowMs + STEP_MS);
  }
  for (const a of answers) {
    for (const b of answers) {
      if (a.revision !== b.revision || a.hash === b.hash) continue;
      const hashes = `${a.name} ${a.hash.toString(16)}, ${b.name} ${b.hash.toString(16)}`;
      throw new InvariantError(`states differ at revision ${a.revision}: ${hashes}`);
    }
  }
}

function askHash(member: SimulatedMember, answers: Answered[]): void {
  const payload = toBinary(HashKVRequestSchema, create(HashKVRequestSchema, {}));
  member.process?.main.request({ field: 0, readKind: ReadKind.hashKv, payload }, false, ({ bytes }) => {
    if (bytes === null) return;
    const { hash, hashRevision } = fromBinary(HashKVResponseSchema, bytes);
    answers.push({ name: member.name, revision: Number(hashRevision), hash });
  });
}
