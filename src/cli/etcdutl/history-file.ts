/** The key history in a database file, of either kind: etcd's own (a snapshot, or its data directory's), or one of ours. */
import { closeSync, openSync, readSync } from "node:fs";
import { KeepFilter } from "../../mvcc/hash-kv.ts";
import type { BackendReader } from "../../mvcc/backend.ts";
import { createMvccStore } from "../../mvcc/mvcc.ts";
import { BoltReader } from "../../snapshot/bolt-reader.ts";
import { isRevisionKey } from "../../snapshot/read-snapshot.ts";
import { checkDatabaseFile } from "../../storage/database-file.ts";
import { HashKv } from "../../storage/hash-kv.ts";
import { openLmdbReader } from "../../storage/lmdb-reader.ts";
import { openMemoryBackend } from "../../storage/memory-backend.ts";
import { META_FINISHED_COMPACT_REV, META_SCHEDULED_COMPACT_REV } from "../../storage/meta-keys.ts";
import { recover } from "../../storage/recover.ts";
import { readRevisionMain, readRevisionSub, TOMBSTONE_KEY_BYTES } from "../../storage/revision-key.ts";

/** Where bbolt's magic number is, and which it is. */
const MAGIC_OFFSET = 16;
const BBOLT_MAGIC = 0xed0cdaed;

/** A hash over the history. */
export interface HistoryHash {
  readonly hash: number;
  readonly revision: number;
  /** -1 if the history was never compacted. */
  readonly compactRevision: number;
}

/** The history of one file. */
interface History {
  readonly scheduledCompactRev: number;
  readonly finishedCompactRev: number;
  readonly scanRevisions: BackendReader["scanRevisions"];
  close(): void;
}

/**
 * Computes the hash that `endpoint hashkv` gives for a member with this file. 0 = up to the newest revision.
 * @throws an Error that names the file, or etcd's for a revision that is compacted or not there yet
 */
export function hashHistory(path: string, revision: number): HistoryHash {
  const history = isBolt(path) ? openBolt(path) : openLmdb(path);
  try {
    const memory = openMemoryBackend();
    const sink = { putRevision: () => {}, putTombstone: () => {}, deleteRevision: () => {} };
    const store = createMvccStore({ source: memory.reader(), sink, valueBytesMax: 0 });
    history.scanRevisions(0, (main, sub, tombstone, bytes, length) => {
      if (store.restoreRevision(main, sub, tombstone, bytes.subarray(0, length))) return true;
      throw new Error(`${path}: the record of revision ${main}/${sub} is damaged`);
    });
    store.finishRestore({
      scheduledCompactRevision: history.scheduledCompactRev,
      finishedCompactRevision: history.finishedCompactRev,
    });
    const asked = revision === 0 ? store.revision : revision;
    if (asked < store.compactRevision) {
      throw new Error("mvcc: required revision has been compacted");
    }
    if (asked > store.revision) throw new Error("mvcc: required revision is a future revision");
    const keep = store.hashKeepSet(asked);
    const filter = new KeepFilter(keep);
    const keeps = (main: number, sub: number): boolean => filter.includes(main, sub);
    const { compactRevision } = keep;
    const hash = new HashKv(history, { revision: asked, compactRevision, keeps });
    hash.step(Infinity);
    return { hash: hash.hash, revision: asked, compactRevision };
  } finally {
    history.close();
  }
}

function isBolt(path: string): boolean {
  const fd = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(MAGIC_OFFSET + 4);
    return (
      readSync(fd, bytes, 0, bytes.length, 0) === bytes.length &&
      bytes.readUInt32LE(MAGIC_OFFSET) === BBOLT_MAGIC
    );
  } finally {
    closeSync(fd);
  }
}

function openLmdb(path: string): History {
  if (checkDatabaseFile(path) === undefined) throw new Error(`${path} is empty`);
  const reader = openLmdbReader(path);
  const { scheduledCompactRev, finishedCompactRev } = recover(reader);
  return {
    scheduledCompactRev,
    finishedCompactRev,
    scanRevisions: (...args) => reader.scanRevisions(...args),
    close: () => reader.close(),
  };
}

function openBolt(path: string): History {
  const compactions = { scheduledCompactRev: -1, finishedCompactRev: -1 };
  scanBolt(path, "meta", (key, value) => {
    if (key.equals(META_SCHEDULED_COMPACT_REV)) compactions.scheduledCompactRev = readRevisionMain(value, 0);
    if (key.equals(META_FINISHED_COMPACT_REV)) compactions.finishedCompactRev = readRevisionMain(value, 0);
  });
  return {
    ...compactions,
    scanRevisions(fromMain, visit, fromSub = 0) {
      let goesOn = true;
      scanBolt(path, "key", (key, value) => {
        if (!goesOn) return;
        if (!isRevisionKey(key)) throw new Error(`${path}: bucket key has a key 0x${key.toString("hex")}`);
        const main = readRevisionMain(key, 0);
        const sub = readRevisionSub(key, 0);
        if (main < fromMain || (main === fromMain && sub < fromSub)) return;
        goesOn = visit(main, sub, key.length === TOMBSTONE_KEY_BYTES, value, value.length);
      });
    },
    close: () => undefined,
  };
}

/** Bytes are borrowed until `visit` returns. */
function scanBolt(path: string, bucket: string, visit: (key: Buffer, value: Buffer) => void): void {
  const reader = new BoltReader(path);
  try {
    const found = reader.buckets().find(({ name }) => name === bucket);
    if (found === undefined) return;
    reader.scan(found, (bytes, keyAt, valueAt, end) => {
      const part = (from: number, to: number) =>
        Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from);
      visit(part(keyAt, valueAt), part(valueAt, end));
    });
  } finally {
    reader.close();
  }
}
