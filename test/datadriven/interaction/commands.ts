/** The commands of interaction traces, one function each. What they put out goes to the environment's output. */
import type { TraceCase } from "../trace-case.ts";
import { TraceError } from "../vocabulary.ts";
import { addNodes } from "./add-nodes.ts";
import { countOf, firstId, idOf, idsOf, keyAt, pairsOf, valueOf } from "./arguments.ts";
import { describeMessage, messageTypeOf } from "./describe.ts";
import { ANY_TYPE, type Environment, type Recipient } from "./environment.ts";
import { MemberError, type TraceMember } from "./trace-member.ts";
import { proposeConfChange } from "./propose-conf-change.ts";
import { LOG_LEVELS } from "./trace-output.ts";

/** @throws {MemberError} whose text is output */
type Command = (environment: Environment, testCase: TraceCase) => void;

const HEARTBEAT_TICKS = 1;

export const COMMANDS: Readonly<Record<string, Command>> = {
  // For a debugger.
  _breakpoint: () => undefined,
  "add-nodes": addNodes,
  campaign: onMember((member) => member.core.campaign()),
  compact(environment, testCase) {
    const member = environment.member(firstId(testCase));
    member.compact(countOf(keyAt(testCase, 1)));
    environment.writeLog(member);
  },
  "deliver-msgs": deliver,
  "process-ready": onEach("handling Ready", (environment, member) => environment.processReady(member)),
  "process-append-thread": onEach("processing append thread", (environment, member) =>
    environment.processAppend(member),
  ),
  "process-apply-thread": onEach("processing apply thread", (environment, member) =>
    environment.processApply(member),
  ),
  "log-level": (environment, testCase) => setLogLevel(environment, keyAt(testCase, 0)),
  "raft-log": onMember((member, _, environment) => environment.writeLog(member)),
  "raft-state"(environment) {
    for (const member of environment.members) environment.output.write(`${member.describeState()}\n`);
  },
  "set-randomized-election-timeout": onMember(({ core }, testCase) => {
    core.randomizedElectionTicks = countOf(valueOf(testCase, "timeout"));
  }),
  stabilize,
  status: onMember((member, _, environment) => environment.output.write(member.describeProgress())),
  "tick-election": onMember((member) => tick(member, member.electionTicks)),
  "tick-heartbeat": onMember((member) => tick(member, HEARTBEAT_TICKS)),
  "transfer-leadership"(environment, testCase) {
    const to = environment.member(idOf(valueOf(testCase, "to")));
    environment.member(idOf(valueOf(testCase, "from"))).core.transferLeader(to.id);
  },
  "forget-leader": onMember((member) => member.forgetLeader()),
  "send-snapshot"(environment, testCase) {
    const [from, to] = twoMembers(environment, testCase);
    const message = from.snapshotMessage(to.id);
    environment.queueMessages([message]);
    environment.output.write(describeMessage(message));
  },
  propose: onMember((member, testCase) => member.propose(encodeText(keyAt(testCase, 1)))),
  "propose-conf-change": proposeConfChange,
  "report-unreachable"(environment, testCase) {
    const [member, peer] = twoMembers(environment, testCase);
    member.core.reportUnreachable(peer.id);
  },
  // From here on: not in etcd-io/raft's vocabulary.
  "report-snapshot"(environment, testCase) {
    const [member, peer] = twoMembers(environment, testCase);
    member.core.reportSnapshot(peer.id, valueOf(testCase, "ok") === "true");
  },
  "read-index": onMember((member, testCase) => member.core.readIndex(encodeText(keyAt(testCase, 1)))),
  tick: onMember((member, testCase) => tick(member, countOf(keyAt(testCase, 1)))),
};

function onMember(
  run: (member: TraceMember, testCase: TraceCase, environment: Environment) => void,
): Command {
  return (environment, testCase) => run(environment.member(firstId(testCase)), testCase, environment);
}

/** For each id given; with a headline if there are several. */
function onEach(name: string, run: (environment: Environment, member: TraceMember) => void): Command {
  return (environment, testCase) => {
    const ids = idsOf(testCase);
    if (ids.length === 1) return run(environment, environment.member(ids[0]));
    for (const id of ids) {
      environment.output.write(`> ${id} ${name}\n`);
      environment.output.indented(() => run(environment, environment.member(id)));
    }
  };
}

function deliver(environment: Environment, testCase: TraceCase): void {
  const delivered = idsOf(testCase).map((id) => ({ id, drop: false }));
  const dropped = pairsOf(testCase)
    .filter(([key]) => key === "drop")
    .map(([, value]): Recipient => ({ id: idOf(value), drop: true }));
  if (dropped.some(({ id }) => delivered.some((other) => other.id === id)))
    throw new TraceError("can't both deliver and drop messages to one member");
  const typeName = pairsOf(testCase).findLast(([key]) => key === "type")?.[1];
  const type = typeName === undefined ? ANY_TYPE : messageTypeOf(typeName);
  if (typeName !== undefined && type < 0) throw new TraceError(`unknown message type ${typeName}`);
  const count = environment.deliver(type, [...delivered, ...dropped]);
  if (count === 0) environment.output.write("no messages\n");
}

function stabilize(environment: Environment, testCase: TraceCase): void {
  const { output, members } = environment;
  const ids = idsOf(testCase);
  const level = output.level;
  try {
    for (const [key, value] of pairsOf(testCase)) if (key === "log-level") setLogLevel(environment, value);
    environment.stabilize(ids.length === 0 ? members : ids.map((id) => environment.member(id)));
  } finally {
    output.level = level;
  }
}

function setLogLevel({ output }: Environment, name: string): void {
  const level = LOG_LEVELS.findIndex((known) => known === name.toUpperCase());
  if (level < 0) throw new MemberError(`log levels must be either of [${LOG_LEVELS.join(" ")}]`);
  output.level = level;
}

function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function tick(member: TraceMember, count: number): void {
  for (let i = 0; i < count; i++) member.core.tick();
}

function twoMembers(environment: Environment, testCase: TraceCase): [TraceMember, TraceMember] {
  const ids = idsOf(testCase);
  if (ids.length !== 2) throw new TraceError(`${testCase.command} needs two members`);
  return [environment.member(ids[0]), environment.member(ids[1])];
}
