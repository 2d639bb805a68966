/**
 * Is a history of operations linearizable? The search of Wing and Gong with Lowe's memoisation, key by key, for a store whose
 * keys are registers with revisions. Used by the simulation and by the tests on real processes.
 *
 * A history is a list of {@link Operation}: who did what, when it was called and when its answer came. Give every written value
 * only once a key: then an operation whose answer never came, but whose value was read, is as good as one with an answer, and
 * the search stays close to linear. An operation that certainly did nothing (refused) is left out of the history; one that
 * may have been done has `output: null` and `return: Infinity`.
 *
 * What is checked of revisions, where an output has them: along the order found they never go back, every change has a higher
 * one than all before, and a read names the revision of the change that it saw. {@link checkRevisionOrder} checks the same over all
 * keys against real time, which catches a stale read of any key by what was answered for another.
 *
 * Read next: `register-model.ts` (what an operation may answer).
 */

import { type RegisterState, INITIAL_STATE, stateKey, step } from "./register-model.ts";

/** `cas` is a Txn: if the value is `expected`, put `value`. */
export type OperationKind = "put" | "get" | "delete" | "cas";

export interface OperationInput {
  /** put, cas: what is written. */
  readonly value?: string;
  /** cas: the value the key must have; null = the key must not exist. */
  readonly expected?: string | null;
}

/** What an answer said. A field that it did not show is left out, and is then not checked. */
export interface OperationOutput {
  /** Revision in the answer's header. */
  readonly revision?: number;
  /** get: the value. delete and a cas that failed: the value before. null = the key did not exist. */
  readonly value?: string | null;
  /** Mod revision of that value; 0 as if left out. */
  readonly modRevision?: number;
  /** cas: the comparison held. delete: there was something to delete. */
  readonly succeeded?: boolean;
}

export interface Operation {
  /** The client; its operations do not overlap. */
  readonly process: number;
  readonly key: string;
  readonly op: OperationKind;
  readonly input: OperationInput;
  /** null = unknown: it may have happened at any time after `invoke`, or never. */
  readonly output: OperationOutput | null;
  /** Any clock, the same for all. */
  readonly invoke: number;
  /** Infinity if no answer came. */
  readonly return: number;
}

export type Verdict =
  | { readonly ok: true; readonly undecidedKeys: readonly string[] }
  | { readonly ok: false; readonly key: string; readonly message: string };

/** States looked at for one key before the search gives up; a history with values written once needs about one an operation. */
const STATES_MAX = 2_000_000;
/** Operations shown around the place where the search ends. */
const SHOWN_OPERATIONS = 12;

/**
 * Checks the whole history. A key whose search was given up after `statesMax` states stands in `undecidedKeys`.
 * Reads that need not be linearizable (serializable ones) do not belong in the history.
 */
export function checkLinearizable(history: readonly Operation[], statesMax: number = STATES_MAX): Verdict {
  const revisions = checkRevisionOrder(history);
  if (!revisions.ok) return revisions;
  const undecidedKeys: string[] = [];
  for (const [key, operations] of groupByKey(history)) {
    const search = new Search(resolveUnknown(operations), statesMax);
    const found = search.run();
    if (found === "undecided") undecidedKeys.push(key);
    else if (found === "none")
      return { ok: false, key, message: `not linearizable:\n${search.describeStuck()}` };
  }
  return { ok: true, undecidedKeys };
}

/**
 * Real-time order against revisions, over all keys: what is called after an answer came sees at least the revision of that answer, a
 * change a higher one, and no two changes have the same.
 */
export function checkRevisionOrder(history: readonly Operation[]): Verdict {
  const withRevision = history.filter((operation) => operation.output?.revision !== undefined);
  const byInvoke = withRevision.toSorted((a, b) => a.invoke - b.invoke);
  const byReturn = withRevision.toSorted((a, b) => a.return - b.return);
  const changes = new Map<number, Operation>();
  let newest: Operation | null = null;
  let returned = 0;
  for (const operation of byInvoke) {
    for (; returned < byReturn.length && byReturn[returned].return < operation.invoke; returned++) {
      if (newest === null || revisionOf(byReturn[returned]) > revisionOf(newest)) newest = byReturn[returned];
    }
    const revision = revisionOf(operation);
    const other = isChange(operation) ? changes.get(revision) : undefined;
    if (other !== undefined) return conflict(operation, other, "two changes have one revision");
    if (isChange(operation)) changes.set(revision, operation);
    if (newest === null) continue;
    const tooLow = isChange(operation) ? revision <= revisionOf(newest) : revision < revisionOf(newest);
    if (tooLow) return conflict(operation, newest, "an answer is older than one that came before the call");
  }
  return { ok: true, undecidedKeys: [] };
}

function conflict(operation: Operation, other: Operation, what: string): Verdict {
  const message = `${what}:\n${describeOperation(other)}\n${describeOperation(operation)}`;
  return { ok: false, key: operation.key, message };
}

function revisionOf(operation: Operation): number {
  return operation.output?.revision as number;
}

function isChange({ op, output }: Operation): boolean {
  if (output === null || op === "get") return false;
  return op === "put" || output.succeeded === true;
}

function groupByKey(history: readonly Operation[]): Map<string, Operation[]> {
  const groups = new Map<string, Operation[]>();
  for (const operation of history) {
    const group = groups.get(operation.key);
    if (group === undefined) groups.set(operation.key, [operation]);
    else group.push(operation);
  }
  return groups;
}

/**
 * Makes unknown operations known where the history tells: one whose value (written once) was seen has happened before the first answer
 * that shows it; one whose value nobody saw may as well not have happened, unless an answer only says that something was there.
 */
function resolveUnknown(operations: readonly Operation[]): readonly Operation[] {
  let known = operations.filter(({ op, output }) => op !== "get" || output !== null);
  const writers = new Map<string, number>();
  for (const { input } of known) {
    if (input.value !== undefined) writers.set(input.value, (writers.get(input.value) ?? 0) + 1);
  }
  const mayBeTold = ({ input, output }: Operation): boolean =>
    output === null && input.value !== undefined && writers.get(input.value) === 1;
  // A compare-and-set that turns out to have happened has itself seen a value.
  for (let told = -1; told !== 0;) {
    const seen = sightings(known);
    told = 0;
    known = known.map((operation) => {
      const sight = mayBeTold(operation) ? seen.get(operation.input.value as string) : undefined;
      if (sight === undefined) return operation;
      told++;
      const revision = sight.modRevision === undefined ? {} : { revision: sight.modRevision };
      return { ...operation, output: { ...revision, succeeded: true }, return: sight.return };
    });
  }
  return known.some(seesWithoutValue) ? known : known.filter((operation) => !mayBeTold(operation));
}

/** The first answer that shows each value, and the revision that any of them tells. */
function sightings(operations: readonly Operation[]): Map<string, Sighting> {
  const seen = new Map<string, Sighting>();
  for (const operation of operations) {
    const value = valueSeen(operation);
    if (value === undefined || value === null) continue;
    const before = seen.get(value);
    const modRevision = knownRevision(operation.output?.modRevision) ?? before?.modRevision;
    seen.set(value, { modRevision, return: Math.min(operation.return, before?.return ?? Infinity) });
  }
  return seen;
}

interface Sighting {
  readonly modRevision: number | undefined;
  readonly return: number;
}

function valueSeen({ op, input, output }: Operation): string | null | undefined {
  return op === "cas" && output?.succeeded === true ? input.expected : output?.value;
}

function seesWithoutValue(operation: Operation): boolean {
  return operation.output !== null && operation.op !== "put" && valueSeen(operation) === undefined;
}

/** Protobuf shows a revision that was not given as 0. */
function knownRevision(revision: number | undefined): number | undefined {
  return revision === 0 ? undefined : revision;
}

/** A call or a return in the list that the search walks and shortens. */
interface Event {
  readonly operation: Operation;
  readonly number: number;
  /** The return that belongs to this call; null for a return, and for a call that may never have happened. */
  readonly end: Event | null;
  readonly isCall: boolean;
  previous: Event | null;
  next: Event | null;
}

/** One key. Depth first: an operation may come next if no other one ended before it began. */
class Search {
  readonly #statesMax: number;
  readonly #head: Event;
  /** Operations that must be placed. */
  #missing = 0;
  readonly #placed: Array<{ call: Event; before: RegisterState }> = [];
  /** Which operations are placed, a bit each. */
  readonly #bits: Uint32Array;
  #longest: readonly Event[] = [];
  #stuckAt: RegisterState = INITIAL_STATE;

  constructor(operations: readonly Operation[], statesMax: number) {
    this.#statesMax = statesMax;
    this.#bits = new Uint32Array((operations.length >> 5) + 1);
    this.#missing = operations.filter(({ output }) => output !== null).length;
    this.#head = linkEvents(operations);
  }

  run(): "found" | "none" | "undecided" {
    const visited = new Set<string>();
    let state = INITIAL_STATE;
    let event = this.#head.next;
    while (this.#missing > 0) {
      const next = event?.isCall === true ? step(state, event.operation) : null;
      if (event !== null && next !== null && this.#isNew(visited, event, next)) {
        if (visited.size > this.#statesMax) return "undecided";
        this.#place(event, state);
        state = next;
        this.#noteLongest(state);
        event = this.#head.next;
      } else if (event?.isCall === true) event = event.next;
      else {
        // A return of an operation that is not placed, or the end: the last choice was wrong.
        const last = this.#placed.pop();
        if (last === undefined) return "none";
        this.#takeBack(last.call);
        state = last.before;
        event = last.call.next;
      }
    }
    return "found";
  }

  /** The longest order found, and what could not follow. */
  describeStuck(): string {
    const lines = this.#longest.slice(-SHOWN_OPERATIONS).map(({ operation }) => describeOperation(operation));
    const placed = new Set(this.#longest);
    const candidates: string[] = [];
    let earliestReturn = Infinity;
    for (const event of [...allCalls(this.#head), ...this.#placed.map(({ call }) => call)]) {
      if (placed.has(event) || event.operation.invoke > earliestReturn) continue;
      earliestReturn = Math.min(earliestReturn, event.operation.return);
      candidates.push(`? ${describeOperation(event.operation)}`);
    }
    return [...lines, `= ${stateKey(this.#stuckAt)}`, ...candidates.slice(0, SHOWN_OPERATIONS)].join("\n");
  }

  #isNew(visited: Set<string>, { number }: Event, state: RegisterState): boolean {
    const bit = 1 << (number & 31);
    this.#bits[number >> 5] |= bit;
    const key = `${String.fromCharCode(...halves(this.#bits))} ${stateKey(state)}`;
    this.#bits[number >> 5] &= ~bit;
    if (visited.has(key)) return false;
    visited.add(key);
    return true;
  }

  #place(call: Event, before: RegisterState): void {
    this.#bits[call.number >> 5] |= 1 << (call.number & 31);
    unlink(call);
    if (call.end !== null) {
      unlink(call.end);
      this.#missing--;
    }
    this.#placed.push({ call, before });
  }

  #takeBack(call: Event): void {
    this.#bits[call.number >> 5] &= ~(1 << (call.number & 31));
    if (call.end !== null) {
      relink(call.end);
      this.#missing++;
    }
    relink(call);
  }

  #noteLongest(state: RegisterState): void {
    if (this.#placed.length <= this.#longest.length) return;
    this.#longest = this.#placed.map(({ call }) => call);
    this.#stuckAt = state;
  }
}

function* halves(words: Uint32Array): Iterable<number> {
  for (const word of words) {
    yield word & 0xffff;
    yield word >>> 16;
  }
}

function* allCalls(head: Event): Iterable<Event> {
  for (let event = head.next; event !== null; event = event.next) if (event.isCall) yield event;
}

/** Calls and returns by time; at one time calls come first, so that those two operations overlap. */
function linkEvents(operations: readonly Operation[]): Event {
  const events: Array<{ at: number; event: Event }> = [];
  for (const [number, operation] of operations.entries()) {
    const links = { operation, number, previous: null, next: null };
    const end = operation.output === null ? null : { ...links, end: null, isCall: false };
    events.push({ at: operation.invoke, event: { ...links, end, isCall: true } });
    if (end !== null) events.push({ at: operation.return, event: end });
  }
  events.sort((a, b) => a.at - b.at || Number(b.event.isCall) - Number(a.event.isCall));
  const head: Event = { ...({} as Event), previous: null, next: null, isCall: false };
  let last = head;
  for (const { event } of events) {
    event.previous = last;
    last.next = event;
    last = event;
  }
  return head;
}

function unlink(event: Event): void {
  (event.previous as Event).next = event.next;
  if (event.next !== null) event.next.previous = event.previous;
}

/** Undoes {@link unlink}; in the opposite order of the unlinks. */
function relink(event: Event): void {
  (event.previous as Event).next = event;
  if (event.next !== null) event.next.previous = event;
}

/** One line, for messages. */
export function describeOperation({
  process,
  key,
  op,
  input,
  output,
  invoke,
  return: end,
}: Operation): string {
  const given = Object.keys(input).length === 0 ? "" : ` ${JSON.stringify(input)}`;
  const answer = output === null ? "?" : JSON.stringify(output);
  return `[${invoke}, ${end}] client ${process}: ${op} ${key}${given} -> ${answer}`;
}
