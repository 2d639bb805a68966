/** Reads raftpb.Message as etcd 3.5 and 3.6 write it. Entries stay where they are: an {@link EntryView} says where they lie. */

import { WireReader } from "../proto/wire.ts";
import {
  type ConfState,
  type EntrySlice,
  MessageType,
  type RaftMessage,
  type SnapshotMeta,
} from "../raft/raft.ts";
import { MESSAGE_TRACES_MAX } from "../raft/peer-traces.ts";
import { TRACES_TAG_NUMBER, TRACE_ENTRY_BYTES } from "./raft-message-encode.ts";
import { decodeConfState } from "../wal/wal-format.ts";
import { EntryView } from "./entry-view.ts";

const NO_ENTRIES: readonly EntrySlice[] = [];
const NO_CONF_STATE: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};
/** A type that no raftpb.EntryType will have; larger ones do not fit the view's table. */
const ENTRY_TYPE_MAX = 255;

/** A message under construction: the same fields, writable. */
type Draft = { -readonly [K in keyof RaftMessage]: RaftMessage[K] };

/** Decodes one message at a time. Never throws on hostile bytes. */
export class MessageDecoder {
  readonly #reader = new WireReader();
  readonly #view = new EntryView();
  #previousIndex = 0;

  /**
   * The message in `bytes[start, end)`, or null if it is malformed. Its entries borrow `bytes` and this decoder until the next
   * call; everything else is its own.
   */
  decode(bytes: Uint8Array, start: number, end: number): RaftMessage | null {
    const reader = this.#reader;
    reader.reset(bytes, start, end);
    this.#view.reset(bytes);
    const draft = emptyMessage();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) this.#field(tag, draft);
    if (reader.failed) return null;
    draft.entries = this.takeEntries();
    // Appended entries are those right behind `index`.
    const isMisplaced =
      draft.type === MessageType.app && this.#view.count > 0 && this.#view.firstIndex !== draft.index + 1;
    return isMisplaced ? null : draft;
  }

  /** Forgets what was decoded; {@link addEntry} then takes entries that lie in `bytes`. */
  beginEntries(bytes: Uint8Array): void {
    this.#view.reset(bytes);
  }

  /** Takes the raftpb.Entry in `[start, end)`; false if it is malformed or not the next one. */
  addEntry(start: number, end: number): boolean {
    this.#reader.reset(this.#view.bytes, start, end);
    this.#entry(end);
    return !this.#reader.failed;
  }

  /** What {@link addEntry} took since {@link beginEntries}, borrowed like those of {@link decode}. */
  takeEntries(): readonly EntrySlice[] {
    const view = this.#view;
    return view.count === 0 ? NO_ENTRIES : [{ batch: view, from: 0, count: view.count }];
  }

  #field(tag: number, draft: Draft): void {
    const reader = this.#reader;
    switch (tag) {
      case 0x08:
        draft.type = reader.int32();
        return;
      case 0x10:
        draft.to = readId(reader);
        return;
      case 0x18:
        draft.from = readId(reader);
        return;
      case 0x20:
        draft.term = readNumber(reader);
        return;
      case 0x28:
        draft.logTerm = readNumber(reader);
        return;
      case 0x30:
        draft.index = readNumber(reader);
        return;
      case 0x3a:
        this.#nestedEntry();
        return;
      case 0x40:
        draft.commit = readNumber(reader);
        return;
      case 0x4a:
        this.#nestedSnapshot(draft);
        return;
      case 0x50:
        draft.reject = reader.bool();
        return;
      case 0x58:
        draft.rejectHint = readNumber(reader);
        return;
      case 0x62: {
        const length = reader.length();
        // Not slice(), which a Buffer does not copy with.
        draft.context = new Uint8Array(reader.bytes.subarray(reader.position, reader.position + length));
        reader.advance(length);
        return;
      }
      case 0x68:
        draft.vote = readId(reader);
        return;
      case TRACES_TAG_NUMBER:
        this.#traces(draft);
        return;
      default:
        reader.skip(tag);
    }
  }

  /** What is not well-formed is no reason to refuse a message: it has no traces then. */
  #traces(draft: Draft): void {
    const reader = this.#reader;
    const length = reader.length();
    const count = length / TRACE_ENTRY_BYTES;
    if (!reader.failed && Number.isInteger(count) && count > 0 && count <= MESSAGE_TRACES_MAX) {
      const bytes = new Uint8Array(reader.bytes.subarray(reader.position, reader.position + length));
      const view = new DataView(bytes.buffer);
      draft.traces = Array.from({ length: count }, (_, i) => ({
        position: view.getUint32(i * TRACE_ENTRY_BYTES, true),
        context: bytes.subarray(i * TRACE_ENTRY_BYTES + 4, (i + 1) * TRACE_ENTRY_BYTES),
      }));
    }
    reader.advance(length);
  }

  #nestedEntry(): void {
    const reader = this.#reader;
    const outer = reader.end;
    const end = reader.length() + reader.position;
    reader.end = end;
    if (!reader.failed) this.#entry(end);
    reader.end = outer;
  }

  #nestedSnapshot(draft: Draft): void {
    const reader = this.#reader;
    const length = reader.length();
    if (reader.failed) return;
    const snapshot = decodeSnapshot(reader.bytes, reader.position, reader.position + length);
    if (snapshot === null) reader.fail();
    // etcd up to 3.5 writes an empty snapshot into every message.
    else draft.snapshot = snapshot.index === 0 ? null : snapshot;
    reader.advance(length);
  }

  #entry(end: number): void {
    const reader = this.#reader;
    const view = this.#view;
    let type = 0;
    let term = 0;
    let index = 0;
    let start = end;
    let stop = end;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x08) type = reader.uint32();
      else if (tag === 0x10) term = readNumber(reader);
      else if (tag === 0x18) index = readNumber(reader);
      else if (tag === 0x22) {
        const length = reader.length();
        start = reader.position;
        stop = start + length;
        reader.advance(length);
      } else reader.skip(tag);
    }
    // Indexes follow each other, or are absent in all.
    const isNext = view.count === 0 || index === (this.#previousIndex === 0 ? 0 : this.#previousIndex + 1);
    if (!isNext || type > ENTRY_TYPE_MAX) reader.fail();
    if (reader.failed) return;
    if (view.count === 0) view.firstIndex = index;
    this.#previousIndex = index;
    view.add(type, term, start, stop);
  }
}

/** The metadata of a raftpb.Snapshot, index 0 without, or null if it is malformed. Its data is left to etcd before 3.6. */
function decodeSnapshot(bytes: Uint8Array, start: number, end: number): SnapshotMeta | null {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  let meta: SnapshotMeta | null = { index: 0, term: 0, confState: NO_CONF_STATE };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x12) {
      const length = reader.length();
      meta = decodeSnapshotMeta(bytes, reader.position, reader.position + length);
      if (meta === null) return null;
      reader.advance(length);
    } else reader.skip(tag);
  }
  return reader.failed ? null : meta;
}

/** Decodes raftpb.SnapshotMetadata, or returns null if it is malformed. */
function decodeSnapshotMeta(bytes: Uint8Array, start: number, end: number): SnapshotMeta | null {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  let confState: ConfState | null = NO_CONF_STATE;
  let index = 0;
  let term = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) {
      const length = reader.length();
      confState = decodeConfState(bytes, reader.position, reader.position + length);
      if (confState === null) return null;
      reader.advance(length);
    } else if (tag === 0x10) index = readNumber(reader);
    else if (tag === 0x18) term = readNumber(reader);
    else reader.skip(tag);
  }
  return reader.failed ? null : { index, term, confState };
}

function readId(reader: WireReader): bigint {
  reader.varint();
  return reader.high === 0 ? BigInt(reader.low) : (BigInt(reader.high) << 32n) | BigInt(reader.low);
}

/** A term or an index: beyond 2^53 - 1 the message is malformed. */
function readNumber(reader: WireReader): number {
  const low = reader.uint32();
  if (reader.high === 0) return low;
  if (reader.high >= 0x20_0000) reader.fail();
  return reader.high * 0x1_0000_0000 + reader.low;
}

/** A message of nothing but zeros. */
export function emptyMessage(): Draft {
  return {
    type: MessageType.hup,
    to: 0n,
    from: 0n,
    term: 0,
    logTerm: 0,
    index: 0,
    commit: 0,
    vote: 0n,
    reject: false,
    rejectHint: 0,
    entries: NO_ENTRIES,
    context: null,
    snapshot: null,
  };
}
