/** What the codes of spans (`src/ring/trace.ts`) are called in traces, by which thread, and what their value is. */

import { SpanCode } from "../ring/trace.ts";

/** A kind of span. */
export interface SpanName {
  readonly name: string;
  /** Whose time it was. */
  readonly thread: "main" | "raft" | "apply" | "storage" | "watch";
  /** It crosses to another member: the sender's half is a client span, the receiver's a server span. */
  readonly side?: "client" | "server";
  /** Attribute that holds the span's value; member ids are written in hex. */
  readonly value?: "concord.index" | "concord.peer" | "concord.events";
}

export const SPAN_NAMES: Readonly<Record<number, SpanName>> = {
  [SpanCode.ringMainToRaft]: { name: "ring main-raft", thread: "raft" },
  [SpanCode.ringMainToApply]: { name: "ring main-apply", thread: "apply" },
  [SpanCode.ringRaftToApply]: { name: "ring raft-apply", thread: "apply" },
  [SpanCode.ringApplyToStorage]: { name: "ring apply-storage", thread: "storage" },
  [SpanCode.ringApplyToWatch]: { name: "ring apply-watch", thread: "watch" },
  [SpanCode.ringApplyToMain]: { name: "ring apply-main", thread: "main" },
  [SpanCode.propose]: { name: "propose", thread: "raft", value: "concord.index" },
  [SpanCode.walFlush]: { name: "wal flush", thread: "raft", value: "concord.index" },
  [SpanCode.replicate]: { name: "replicate", thread: "raft", side: "client", value: "concord.peer" },
  [SpanCode.append]: { name: "append", thread: "raft", side: "server", value: "concord.index" },
  [SpanCode.commit]: { name: "commit", thread: "raft", value: "concord.index" },
  [SpanCode.forward]: { name: "forward", thread: "raft", side: "client", value: "concord.peer" },
  [SpanCode.readIndex]: { name: "read index", thread: "raft" },
  [SpanCode.readRound]: { name: "read round", thread: "raft", side: "server", value: "concord.peer" },
  [SpanCode.apply]: { name: "apply", thread: "apply", value: "concord.index" },
  [SpanCode.read]: { name: "read", thread: "apply" },
  [SpanCode.storageBatch]: { name: "storage batch", thread: "storage", value: "concord.index" },
  [SpanCode.storageCommit]: { name: "storage commit", thread: "storage", value: "concord.index" },
  [SpanCode.watchDeliver]: { name: "watch deliver", thread: "watch", value: "concord.events" },
  [SpanCode.watchWrite]: { name: "watch write", thread: "main", value: "concord.events" },
  [SpanCode.response]: { name: "response", thread: "main" },
};
