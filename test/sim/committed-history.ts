/**
 * What the cluster has committed, as the members' state machines hand it to storage: the truth that watchers are compared with. The first
 * member that makes a revision says what is in it; all others, and the same one after a crash, must make the same.
 */

import { fromBinary } from "@bufbuild/protobuf";
import { crc32c } from "../../src/base/crc32c.ts";
import type { RevisionSink } from "../../src/mvcc/store.ts";
import { type KeyValue, KeyValueSchema } from "../../src/proto/gen/kv_pb.ts";
import { InvariantError } from "./invariants.ts";

export interface CommittedEvent {
  readonly key: string;
  readonly revision: number;
  readonly tombstone: boolean;
  /** Everything that a client sees of it. */
  readonly shown: string;
  /** What the key was before; null if it was not. */
  readonly previous: CommittedEvent | null;
  /** Lease that the key is on; 0 = none. */
  readonly lease: bigint;
  readonly checksum: number;
}

const text = new TextDecoder();

/** A KeyValue as text, so that two of them can be compared and shown. */
export function showKeyValue({ key, createRevision, modRevision, version, lease, value }: KeyValue): string {
  return `${text.decode(key)} created ${createRevision} changed ${modRevision} version ${version} lease ${lease} "${text.decode(value)}"`;
}

/** As a watcher is shown the deletion of `key`. */
export function showDeletion(key: string, revision: number): string {
  return `${key} deleted ${revision}`;
}

export class CommittedHistory {
  /** Highest revision to which anybody has compacted. */
  compactRevision = 0;
  readonly #revisions: CommittedEvent[][] = [];
  readonly #newest = new Map<string, CommittedEvent>();

  /** Newest revision; 1 before the first write. */
  get revision(): number {
    return Math.max(1, this.#revisions.length - 1);
  }

  /** Events of a revision, in their order. */
  events(revision: number): readonly CommittedEvent[] {
    return this.#revisions[revision] ?? [];
  }

  /** Keys that are on this lease now. */
  keysOf(lease: bigint): string[] {
    const found: string[] = [];
    for (const { key, tombstone, lease: of } of this.#newest.values())
      if (!tombstone && of === lease) found.push(key);
    return found;
  }

  /** A member's store hands a change on. */
  record(
    member: string,
    main: number,
    sub: number,
    tombstone: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const events = (this.#revisions[main] ??= []);
    const checksum = crc32c(tombstone ? 1 : 0, bytes, start, end);
    const known = events[sub];
    if (known !== undefined) {
      if (known.checksum !== checksum)
        throw new InvariantError(`${member} has made another change ${main}/${sub} than "${known.shown}"`);
      return;
    }
    if (sub !== events.length || main !== this.#revisions.length - 1)
      throw new InvariantError(`${member} has made change ${main}/${sub} that nobody else made`);
    const kv = fromBinary(KeyValueSchema, bytes.slice(start, end));
    const key = text.decode(kv.key);
    const before = this.#newest.get(key);
    const event: CommittedEvent = {
      key,
      revision: main,
      tombstone,
      shown: tombstone ? showDeletion(key, main) : showKeyValue(kv),
      previous: before === undefined || before.tombstone ? null : before,
      lease: kv.lease,
      checksum,
    };
    events.push(event);
    this.#newest.set(key, event);
  }
}

/** Stands in front of one store's storage, for one life of its process. */
export class RecordedSink implements RevisionSink {
  readonly #sink: RevisionSink;
  readonly #history: CommittedHistory;
  readonly #member: string;
  /** The newest change of this life. */
  #main = 0;
  #sub = 0;

  constructor(sink: RevisionSink, history: CommittedHistory, member: string) {
    this.#sink = sink;
    this.#history = history;
    this.#member = member;
  }

  putRevision(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    this.#record(main, sub, false, bytes, start, end);
    this.#sink.putRevision(main, sub, bytes, start, end);
  }

  putTombstone(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    this.#record(main, sub, true, bytes, start, end);
    this.#sink.putTombstone(main, sub, bytes, start, end);
  }

  deleteRevision(main: number, sub: number, tombstone: boolean): void {
    this.#sink.deleteRevision(main, sub, tombstone);
  }

  #record(
    main: number,
    sub: number,
    tombstone: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (main !== this.#main && this.#main > 0) this.#checkWhole(main);
    this.#main = main;
    this.#sub = sub;
    this.#history.record(this.#member, main, sub, tombstone, bytes, start, end);
  }

  /** The revision before has as many changes as with the others. */
  #checkWhole(next: number): void {
    const expected = this.#history.events(this.#main).length;
    if (next === this.#main + 1 && this.#sub + 1 === expected) return;
    const made = `${this.#sub + 1} changes in revision ${this.#main}, then revision ${next}`;
    throw new InvariantError(`${this.#member} has made ${made}; others made ${expected}`);
  }
}
