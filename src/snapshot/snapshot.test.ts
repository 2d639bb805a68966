import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { simpleConfState } from "../cluster/conf-state.ts";
import { formatMember } from "../cluster/membership.ts";
import { type BackendReader, type BackendWriter, BUCKETS } from "../mvcc/backend.ts";
import { openLmdbBackend } from "../storage/lmdb-backend.ts";
import { openMemoryBackend } from "../storage/memory-backend.ts";
import { META_DATABASE_ID } from "../storage/meta-keys.ts";
import { writeRevisionKey, writeUint64BE } from "../storage/revision-key.ts";
import { BoltReader } from "./bolt-reader.ts";
import { BoltWriter } from "./bolt-writer.ts";
import { buildDatabase, putDatabase } from "./install-database.ts";
import { installPath } from "./received-files.ts";
import { verifySnapshot } from "./read-snapshot.ts";
import { SnapshotFileError } from "./snapshot-file-error.ts";
import { SnapshotCancelledError, writeSnapshot } from "./snapshot.ts";

const directory = mkdtempSync(join(tmpdir(), "concord-snapshot-"));
const databasePath = join(directory, "db");
const path = join(directory, "file");
const INDEX = 5000;
const TERM = 7;
const MEMBERS = [
  {
    id: 0x8e9e05c52164694dn,
    name: "a",
    peerUrls: ["http://10.0.0.1:2380"],
    clientUrls: ["http://a"],
    isLearner: false,
  },
  { id: 0xffffffffffffffffn, name: "", peerUrls: ["http://10.0.0.2:2380"], clientUrls: [], isLearner: true },
];

test.after(() => rmSync(directory, { recursive: true }));

const bytes = (text: string): Uint8Array => Buffer.from(text);

function fill(backend: BackendWriter, { clusterVersion = "3.6.0", records = 3000 } = {}): void {
  const key = new Uint8Array(18);
  for (let main = 2; main < records; main++) {
    const isTombstone = main % 10 === 0;
    const length = writeRevisionKey(key, 0, main, main % 3, isTombstone);
    backend.putRevision(key.subarray(0, length), new Uint8Array(main % 100 === 1 ? 20_000 : 120).fill(main));
  }
  for (const member of MEMBERS)
    backend.put("members", bytes(member.id.toString(16)), bytes(formatMember(member)));
  backend.put("members_removed", bytes("abc"), bytes("removed"));
  if (clusterVersion !== "") backend.put("cluster", bytes("clusterVersion"), bytes(clusterVersion));
  for (let id = 1; id < 500; id++) {
    const lease = new Uint8Array(8);
    writeUint64BE(lease, 0, id);
    backend.put("lease", lease, new Uint8Array(30).fill(id));
  }
  backend.put("meta", META_DATABASE_ID, bytes("ours, and nobody else's"));
  backend.put("meta", bytes("scheduledCompactRev"), key.subarray(0, 17));
  backend.commit(INDEX, TERM);
}

/** Bucket by bucket; without our own key. */
function contentOf(reader: BackendReader): unknown {
  return BUCKETS.map((bucket) => [
    bucket,
    reader
      .entries(bucket)
      .filter(({ key }) => Buffer.compare(key, META_DATABASE_ID) !== 0)
      .map(({ key, value }) => [Buffer.from(key).toString("hex"), Buffer.from(value).toString("hex")]),
  ]);
}

/** Bucket `meta` of the file at {@link path}, as text. */
function metaOf(): Record<string, string> {
  const reader = new BoltReader(path);
  const meta: Record<string, string> = {};
  const bucket = reader.buckets().find(({ name }) => name === "meta");
  assert.ok(bucket);
  reader.scan(bucket, (content, keyAt, valueAt, end) => {
    meta[Buffer.from(content.subarray(keyAt, valueAt)).toString()] = Buffer.from(
      content.subarray(valueAt, end),
    ).toString();
  });
  reader.close();
  return meta;
}

test("a database becomes a file, and the file a database with the same records and a new id", async () => {
  const backend = openLmdbBackend(databasePath);
  fill(backend);
  const reader = backend.reader();
  const made = writeSnapshot(reader, path);
  assert.equal(made.bytes, readFileSync(path).length);
  assert.deepEqual(
    { index: made.index, term: made.term, confState: made.confState },
    { index: INDEX, term: TERM, confState: simpleConfState([MEMBERS[0].id], [MEMBERS[1].id]) },
  );

  const built = installPath(directory, INDEX);
  const contents = await buildDatabase(path, built, { index: INDEX, term: TERM });
  assert.deepEqual(contents, { index: INDEX, term: TERM, revisions: 2998, unknownBuckets: [] });
  const before = contentOf(reader);
  const oldId = reader.get("meta", META_DATABASE_ID);
  reader.close();
  backend.close();
  await backend.closed;
  putDatabase(built, databasePath);

  const installed = openLmdbBackend(databasePath);
  const after = installed.reader();
  const added = new Set(["confState", "storageVersion"].map((key) => Buffer.from(key).toString("hex")));
  const withoutAdded = (contentOf(after) as Array<[string, string[][]]>).map(([name, pairs]) => [
    name,
    pairs.filter(([key]) => name !== "meta" || !added.has(key)),
  ]);
  assert.deepEqual(withoutAdded, before);
  const newId = after.get("meta", META_DATABASE_ID);
  assert.ok(newId !== undefined && oldId !== undefined && Buffer.compare(newId, oldId) !== 0);
  after.close();
  installed.close();
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.startsWith("tmp")),
    [],
  );
});

test("a member that keeps nothing writes the same file", () => {
  const lmdb = openLmdbBackend(join(directory, "same"));
  const memory = openMemoryBackend();
  fill(lmdb);
  fill(memory);
  const reader = lmdb.reader();
  writeSnapshot(reader, path);
  const expected = readFileSync(path);
  reader.close();
  lmdb.close();
  writeSnapshot(memory.reader(), path);
  assert.ok(readFileSync(path).equals(expected));
});

test("the file has all of etcd's buckets and keys, and none of ours", () => {
  const backend = openMemoryBackend();
  fill(backend, { records: 0 });
  writeSnapshot(backend.reader(), path);
  const reader = new BoltReader(path);
  assert.deepEqual(
    reader.buckets().map(({ name }) => name),
    [
      "alarm",
      "auth",
      "authRoles",
      "authUsers",
      "cluster",
      "key",
      "lease",
      "members",
      "members_removed",
      "meta",
    ],
  );
  reader.close();
  const meta = metaOf();
  assert.deepEqual(Object.keys(meta), [
    "confState",
    "consistent_index",
    "scheduledCompactRev",
    "storageVersion",
    "term",
  ]);
  assert.equal(
    meta.confState,
    '{"voters":[10276657743932975437],"learners":[18446744073709551615],"auto_leave":false}',
  );
  assert.equal(meta.storageVersion, "3.6.0");
});

test("the storage version follows the cluster's version, and is left out below 3.6", () => {
  for (const [clusterVersion, expected] of [
    ["3.5.0", undefined],
    ["", undefined],
    ["3.7.0", "3.6.0"],
  ]) {
    const backend = openMemoryBackend();
    fill(backend, { clusterVersion, records: 10 });
    backend.put("meta", bytes("storageVersion"), bytes("3.6.0"));
    backend.commit(INDEX, TERM);
    writeSnapshot(backend.reader(), path);
    assert.equal(metaOf().storageVersion, expected, clusterVersion);
  }
});

test("nothing committed, nothing to send; a cancelled snapshot leaves no file", () => {
  rmSync(path, { force: true });
  assert.throws(() => writeSnapshot(openMemoryBackend().reader(), path), /nothing is committed/);
  const backend = openMemoryBackend();
  fill(backend, { records: 20_000 });
  assert.throws(
    () => writeSnapshot(backend.reader(), path, { isCancelled: () => true }),
    SnapshotCancelledError,
  );
  assert.equal(existsSync(path), false);
});

test("a snapshot that cannot be written names the file and the cause", () => {
  const backend = openMemoryBackend();
  fill(backend, { records: 10 });
  const missing = join(directory, "no", "file");
  assert.throws(
    () => writeSnapshot(backend.reader(), missing),
    new RegExp(`cannot write snapshot file ${missing}: ENOENT`),
  );
});

/** A file in which bucket `meta` holds these records. */
function fileWithMeta(
  meta: ReadonlyArray<readonly [string, Uint8Array]>,
  buckets: readonly string[] = [],
): void {
  const writer = new BoltWriter(path);
  for (const name of buckets) writer.beginBucket(name);
  writer.beginBucket("meta");
  for (const [key, value] of meta.toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    writer.put(bytes(key), key.length, value, value.length);
  }
  writer.finish({ sync: false });
}

test("a file that is not the snapshot expected is refused before anything is made of it", async () => {
  const number = (value: number): Uint8Array => {
    const encoded = new Uint8Array(8);
    writeUint64BE(encoded, 0, value);
    return encoded;
  };
  const good = [
    ["consistent_index", number(INDEX)],
    ["term", number(TERM)],
  ] as const;
  const expected = { index: INDEX, term: TERM };
  fileWithMeta(good);
  assert.equal(verifySnapshot(path, expected).index, INDEX);
  const refuses = (message: RegExp, asked = expected): void => {
    assert.throws(
      () => verifySnapshot(path, asked),
      (error) => {
        assert.ok(error instanceof SnapshotFileError);
        assert.match(error.message, message);
        return true;
      },
    );
  };
  refuses(/holds the state at index 5000, term 7; expected index 5001, term 7/, { index: 5001, term: 7 });
  refuses(/holds the state at index 5000, term 7; expected index 5000, term 8/, { index: INDEX, term: 8 });
  fileWithMeta([...good, ["storageVersion", bytes("3.7.0")]]);
  refuses(/storage version 3.7.0, newer than 3.6.0/);
  fileWithMeta([...good, ["confState", bytes('{"voters":[17],"auto_leave":false}')]]);
  refuses(/no entry for members 11 of its configuration/);
  fileWithMeta(good, ["leases_of_the_future"]);
  assert.deepEqual(verifySnapshot(path, expected).unknownBuckets, ["leases_of_the_future"]);

  const writer = new BoltWriter(path);
  writer.beginBucket("key");
  writer.put(bytes("not a revision"), 14, bytes(""), 0);
  writer.finish({ sync: false });
  refuses(/bucket key has a key 0x6e6f/);
  const target = installPath(directory, INDEX);
  await assert.rejects(buildDatabase(path, target, expected), SnapshotFileError);
  writeFileSync(path, "garbage");
  await assert.rejects(buildDatabase(path, target, expected), SnapshotFileError);
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.startsWith("tmp")),
    [],
  );
});
