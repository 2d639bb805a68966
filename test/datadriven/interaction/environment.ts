import { TraceError } from "../vocabulary.ts";
import { describeEntries, describeMessage, describeMessages, describeReady } from "./describe.ts";
import type { TraceMember } from "./trace-member.ts";
import { isThread, type TraceMessage } from "./trace-message.ts";
import { TraceOutput } from "./trace-output.ts";

/** For whom messages are delivered or dropped. */
export interface Recipient {
  readonly id: bigint;
  readonly drop: boolean;
}

/** Every type of message. */
export const ANY_TYPE = -1;

/** The members of a trace, what they put out, and the network between them, which keeps messages in order. */
export class Environment {
  readonly output = new TraceOutput();
  readonly members: TraceMember[] = [];
  #messages: TraceMessage[] = [];

  member(id: bigint): TraceMember {
    const member = this.members[Number(id) - 1];
    if (member === undefined) throw new TraceError(`no member ${id}`);
    return member;
  }

  queueMessages(messages: readonly TraceMessage[]): void {
    this.#messages.push(...messages);
  }

  /** Delivers or drops what is under way to each recipient in turn; what comes of it stays. Returns the number of messages. */
  deliver(type: number, recipients: readonly Recipient[]): number {
    let count = 0;
    for (const recipient of recipients) {
      const taken = this.#messages.filter((message) => isFor(message, type, recipient));
      this.#messages = this.#messages.filter((message) => !taken.includes(message));
      count += taken.length;
      for (const message of taken) this.#hand(message, recipient.drop);
    }
    return count;
  }

  #hand(message: TraceMessage, drop: boolean): void {
    this.output.write(`${drop ? "dropped: " : ""}${describeMessage(message)}\n`);
    if (drop) return;
    const error = this.member(message.to).step(message);
    if (error !== null) this.output.write(`${error}\n`);
  }

  /** @throws {MemberError} */
  processReady(member: TraceMember): void {
    const ready = member.ready();
    this.output.write(describeReady(ready));
    if (!member.isAsync) member.store(ready);
    this.queueMessages(ready.messages.filter(({ to }) => !isThread(to)));
    if (!member.isAsync) member.advance();
  }

  /** One message's worth of work of the append thread. @throws {MemberError} */
  processAppend(member: TraceMember): void {
    const message = member.appendWork.shift();
    if (message === undefined) return this.output.write("no append work to perform");
    this.#describeWork(message);
    member.storeMessage(message);
    this.#respond(message);
  }

  /** One message's worth of work of the apply thread. */
  processApply(member: TraceMember): void {
    const message = member.applyWork.shift();
    if (message === undefined) return this.output.write("no apply work to perform");
    this.#describeWork(message);
    member.apply(message.entries);
    this.#respond(message);
  }

  /** What is durable of the member's log. */
  writeLog({ storage }: TraceMember): void {
    const { firstIndex, lastIndex, entries } = storage;
    if (entries.length > 0) this.output.write(describeEntries(entries));
    else this.output.write(`log is empty: first index=${firstIndex}, last index=${lastIndex}`);
  }

  /** Runs `members` and delivers what goes to them until nothing is left to do. @throws {MemberError} */
  stabilize(members: readonly TraceMember[]): void {
    const isWaiting = ({ id }: TraceMember): boolean => this.#messages.some(({ to }) => to === id);
    const phases: readonly [string, (member: TraceMember) => boolean, (member: TraceMember) => void][] = [
      ["handling Ready", (member) => member.hasReady(), (member) => this.processReady(member)],
      ["receiving messages", isWaiting, ({ id }) => this.deliver(ANY_TYPE, [{ id, drop: false }])],
      [
        "processing append thread",
        hasAppendWork,
        (member) => this.#drain(member.appendWork, () => this.processAppend(member)),
      ],
      [
        "processing apply thread",
        hasApplyWork,
        (member) => this.#drain(member.applyWork, () => this.processApply(member)),
      ],
    ];
    for (let worked = true; worked;) {
      worked = false;
      for (const [name, hasWork, run] of phases) {
        for (const member of members) {
          if (!hasWork(member)) continue;
          worked = true;
          this.output.write(`> ${member.id} ${name}\n`);
          this.output.indented(() => run(member));
        }
      }
    }
  }

  #drain(work: readonly TraceMessage[], run: () => void): void {
    while (work.length > 0) run();
  }

  #describeWork(message: TraceMessage): void {
    this.output.write(`Processing:\n${describeMessage({ ...message, responses: [] })}\n`);
  }

  #respond({ responses }: TraceMessage): void {
    this.output.write(`Responses:\n${describeMessages(responses)}`);
    this.queueMessages(responses);
  }
}

function hasAppendWork({ appendWork }: TraceMember): boolean {
  return appendWork.length > 0;
}

function hasApplyWork({ applyWork }: TraceMember): boolean {
  return applyWork.length > 0;
}

/** Messages between a member and its own threads are never lost. */
function isFor(message: TraceMessage, type: number, { id, drop }: Recipient): boolean {
  const isLocal = message.from === message.to || isThread(message.from) || isThread(message.to);
  return message.to === id && !(drop && isLocal) && (type === ANY_TYPE || message.type === type);
}
