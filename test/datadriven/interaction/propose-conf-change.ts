import { EntryType } from "../../../src/raft/raft.ts";
import { ConfChangeTransition } from "../../../src/raft/confchange/conf-change-type.ts";
import { parseChanges } from "../parse-changes.ts";
import type { TraceCase } from "../trace-case.ts";
import { firstId, flagOf, pairsOf } from "./arguments.ts";
import { encodeChangeV1, encodeChangeV2 } from "./change-codec.ts";
import type { Environment } from "./environment.ts";
import { MemberError } from "./trace-member.ts";

const TRANSITIONS: Readonly<Record<string, number>> = {
  auto: ConfChangeTransition.auto,
  implicit: ConfChangeTransition.jointImplicit,
  explicit: ConfChangeTransition.jointExplicit,
};

/** `propose-conf-change <id> [v1=<flag>] [transition=auto|implicit|explicit]`, changes as input; none leave a joint configuration. */
export function proposeConfChange(environment: Environment, testCase: TraceCase): void {
  const member = environment.member(firstId(testCase));
  const { isV1, transition } = parseOptions(testCase);
  const changes = parseChanges(testCase.input);
  if (typeof changes === "string") throw new MemberError(changes);
  if (!isV1) return member.propose(encodeChangeV2({ transition, changes }), EntryType.confChangeV2);
  if (changes.length !== 1 || transition !== ConfChangeTransition.auto)
    throw new MemberError("v1 conf change can only have one operation and no transition");
  member.propose(encodeChangeV1(changes[0]), EntryType.confChange);
}

function parseOptions(testCase: TraceCase): { isV1: boolean; transition: number } {
  let isV1 = false;
  let transition: number = ConfChangeTransition.auto;
  for (const [key, value] of pairsOf(testCase)) {
    if (key === "v1") isV1 = flagOf(value);
    else if (key !== "transition") throw new MemberError(`unknown command ${key}`);
    else if (value in TRANSITIONS) transition = TRANSITIONS[value];
    else throw new MemberError(`unknown transition ${value}`);
  }
  return { isV1, transition };
}
