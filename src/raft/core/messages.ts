import { MessageType } from "../raft.ts";
import type { EntrySlice, RaftMessage, SnapshotMeta } from "../raft.ts";

/** "None": no leader, no vote, no transfer; also the sender of a local message. */
export const NONE = 0n;

const NO_ENTRIES: readonly EntrySlice[] = [];

/** A message in the making. */
export type MutableMessage = { -readonly [K in keyof RaftMessage]: RaftMessage[K] };

/** A message with every field but its type and receiver empty. */
export function newMessage(type: number, to: bigint): MutableMessage {
  return {
    type,
    to,
    from: NONE,
    term: 0,
    logTerm: 0,
    index: 0,
    commit: 0,
    vote: NONE,
    reject: false,
    rejectHint: 0,
    entries: NO_ENTRIES,
    context: null,
    snapshot: null,
  };
}

/** A message that a member sends to itself, or that a forwarded call becomes: from `from`, without a term. */
export function localMessage(type: number, from: bigint): MutableMessage {
  const message = newMessage(type, NONE);
  message.from = from;
  return message;
}

export function snapshotMessage(to: bigint, snapshot: SnapshotMeta): MutableMessage {
  const message = newMessage(MessageType.snap, to);
  message.snapshot = snapshot;
  return message;
}

/** What promises that something is durable, so it leaves only when it is (Raft thesis, section 3.8). */
export function promisesDurability(type: number): boolean {
  return type === MessageType.appResp || type === MessageType.voteResp || type === MessageType.preVoteResp;
}

export function isVoteMessage(type: number): boolean {
  return (
    type === MessageType.vote ||
    type === MessageType.voteResp ||
    type === MessageType.preVote ||
    type === MessageType.preVoteResp
  );
}

/** Answers: they mean nothing when they come from who is not in the configuration. */
export function isResponse(type: number): boolean {
  return (
    promisesDurability(type) ||
    type === MessageType.heartbeatResp ||
    type === MessageType.unreachable ||
    type === MessageType.readIndexResp
  );
}

/** The answer to a vote request of either phase. */
export function voteResponseType(type: number): number {
  return type === MessageType.vote ? MessageType.voteResp : MessageType.preVoteResp;
}

const TYPE_NAMES = [
  "MsgHup",
  "MsgBeat",
  "MsgProp",
  "MsgApp",
  "MsgAppResp",
  "MsgVote",
  "MsgVoteResp",
  "MsgSnap",
  "MsgHeartbeat",
  "MsgHeartbeatResp",
  "MsgUnreachable",
  "MsgSnapStatus",
  "MsgCheckQuorum",
  "MsgTransferLeader",
  "MsgTimeoutNow",
  "MsgReadIndex",
  "MsgReadIndexResp",
  "MsgPreVote",
  "MsgPreVoteResp",
  "MsgStorageAppend",
  "MsgStorageAppendResp",
  "MsgStorageApply",
  "MsgStorageApplyResp",
  "MsgForgetLeader",
];

/** As raftpb names the type. */
export function messageTypeName(type: number): string {
  return TYPE_NAMES[type] ?? String(type);
}
