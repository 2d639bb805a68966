/** Text of what a member does, exactly as etcd-io/raft's Describe functions write it. */
import { decodeConfChange } from "../../../src/raft/core/conf-change-entry.ts";
import type { MemoryEntry } from "../../../src/raft/core/memory-entry-store.ts";
import { messageTypeName } from "../../../src/raft/core/messages.ts";
import {
  EntryType,
  MessageType,
  type ConfState,
  type HardState,
  type ReadState,
  type SnapshotMeta,
} from "../../../src/raft/raft.ts";
import { formatChanges } from "../parse-changes.ts";
import { APPEND_THREAD, APPLY_THREAD, type TraceMessage } from "./trace-message.ts";

/** Leader and role of a member. */
export interface SoftState {
  readonly leaderId: bigint;
  readonly stateName: string;
}

/** What one Ready asks for; null or empty is nothing. */
export interface TraceReady {
  readonly softState: SoftState | null;
  readonly hardState: HardState | null;
  readonly readStates: readonly ReadState[];
  readonly entries: readonly MemoryEntry[];
  readonly snapshot: SnapshotMeta | null;
  readonly committedEntries: readonly MemoryEntry[];
  readonly messages: readonly TraceMessage[];
  readonly mustSync: boolean;
}

const ENTRY_NAMES = ["EntryNormal", "EntryConfChange", "EntryConfChangeV2"];

/** -1 if there is no such type. */
export function messageTypeOf(name: string): number {
  return Object.values(MessageType).find((type) => messageTypeName(type) === name) ?? -1;
}

export function describeReady(ready: TraceReady): string {
  const parts = [
    ready.softState === null ? "" : `${describeSoftState(ready.softState)}\n`,
    ready.hardState === null ? "" : `HardState ${describeHardState(ready.hardState)}\n`,
    ready.readStates.length === 0 ? "" : `ReadStates ${describeReadStates(ready.readStates)}\n`,
    ready.entries.length === 0 ? "" : `Entries:\n${describeEntries(ready.entries)}`,
    ready.snapshot === null ? "" : `Snapshot ${describeSnapshot(ready.snapshot)}\n`,
    ready.committedEntries.length === 0
      ? ""
      : `CommittedEntries:\n${describeEntries(ready.committedEntries)}`,
    ready.messages.length === 0 ? "" : `Messages:\n${describeMessages(ready.messages)}`,
  ];
  const text = parts.join("");
  return text === "" ? "<empty Ready>" : `Ready MustSync=${ready.mustSync}:\n${text}`;
}

function describeSoftState({ leaderId, stateName }: SoftState): string {
  return `Lead:${leaderId} State:${stateName}`;
}

function describeHardState({ term, vote, commit }: HardState): string {
  return `Term:${term}${vote === 0n ? "" : ` Vote:${vote}`} Commit:${commit}`;
}

function describeReadStates(states: readonly ReadState[]): string {
  const words = states.map(({ index, context }) => `{${index} [${context.join(" ")}]}`);
  return `[${words.join(" ")}]`;
}

/** One line each. */
export function describeEntries(entries: readonly MemoryEntry[]): string {
  return entries.map((entry) => `${describeEntry(entry)}\n`).join("");
}

function describeEntry({ term, index, type, data }: MemoryEntry): string {
  const content =
    type === EntryType.normal ? quote(data) : formatChanges(decodeConfChange(type, data)?.changes ?? []);
  return `${term}/${index} ${ENTRY_NAMES[type]}${content === "" ? "" : ` ${content}`}`;
}

/** One line each, or more for those with several entries. */
export function describeMessages(messages: readonly TraceMessage[]): string {
  return messages.map((message) => `${describeMessage(message)}\n`).join("");
}

export function describeMessage(message: TraceMessage, indent = ""): string {
  const { from, to, type, term, logTerm, index, entries, snapshot, responses } = message;
  const words = [
    `${indent}${describeTarget(from)}->${describeTarget(to)} ${messageTypeName(type)} Term:${term} Log:${logTerm}/${index}`,
  ];
  if (message.reject) words.push(`Rejected (Hint: ${message.rejectHint})`);
  if (message.commit !== 0) words.push(`Commit:${message.commit}`);
  if (message.vote !== 0n) words.push(`Vote:${message.vote}`);
  if (entries.length === 1) words.push(`Entries:[${describeEntry(entries[0])}]`);
  if (entries.length > 1) words.push(`Entries:[${describeBlock(entries.map(describeEntry), indent)}]`);
  const snapshotText = snapshot === null ? "" : `\n${indent}  Snapshot: ${describeSnapshot(snapshot)}`;
  const inner = responses.map((response) => `\n${describeMessage(response, `${indent}  `)}`);
  const responsesText = inner.length === 0 ? "" : ` Responses:[${inner.join("")}\n${indent}]`;
  return `${words.join(" ")}${snapshotText}${responsesText}`;
}

function describeBlock(lines: readonly string[], indent: string): string {
  return `${lines.map((line) => `\n${indent}  ${line}`).join("")}\n${indent}`;
}

function describeTarget(id: bigint): string {
  if (id === 0n) return "None";
  if (id === APPEND_THREAD) return "AppendThread";
  return id === APPLY_THREAD ? "ApplyThread" : id.toString(16);
}

function describeSnapshot({ index, term, confState }: SnapshotMeta): string {
  return `Index:${index} Term:${term} ConfState:${describeConfState(confState)}`;
}

function describeConfState(state: ConfState): string {
  const list = (ids: readonly bigint[]): string => `[${ids.join(" ")}]`;
  return (
    `Voters:${list(state.voters)} VotersOutgoing:${list(state.votersOutgoing)} ` +
    `Learners:${list(state.learners)} LearnersNext:${list(state.learnersNext)} AutoLeave:${state.autoLeave}`
  );
}

/** As Go's %q. */
function quote(data: Uint8Array): string {
  const text = new TextDecoder().decode(data);
  // eslint-disable-next-line no-control-regex
  const escaped = text.replace(/["\\\x00-\x1f\x7f]/g, escapeChar);
  return `"${escaped}"`;
}

function escapeChar(char: string): string {
  const named: Readonly<Record<string, string>> = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
  };
  return named[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
