/** The contract of `backend.ts`, for every implementation. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Prng } from "../base/prng.ts";
import type { BackendReader, BackendWriter } from "../mvcc/backend.ts";
import { openLmdbBackend } from "./lmdb-backend.ts";
import { openMemoryBackend } from "./memory-backend.ts";
import { META_CONSISTENT_INDEX } from "./meta-keys.ts";
import { recover } from "./recover.ts";
import { writeRevisionKey } from "./revision-key.ts";

const implementations = {
  lmdb: (directory: string) => openLmdbBackend(join(directory, "db")),
  // A map that is far too small, so that it has to grow under an open transaction.
  "lmdb with a growing map": (directory: string) =>
    openLmdbBackend(join(directory, "db"), { mapBytes: 128 * 1024 }),
  memory: () => openMemoryBackend(),
};

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

function key(main: number, sub = 0, tombstone = false): Uint8Array {
  const target = new Uint8Array(18);
  return target.subarray(0, writeRevisionKey(target, 0, main, sub, tombstone));
}

/** "main/sub" with "t" for tombstones, and the value as text. */
function scan(reader: BackendReader, fromMain = 0, fromSub = 0): string[] {
  const found: string[] = [];
  reader.scanRevisions(
    fromMain,
    (main, sub, tombstone, value, length) => {
      const text = Buffer.from(value.buffer, value.byteOffset, length).toString();
      found.push(`${main}/${sub}${tombstone ? "t" : ""}=${text}`);
      return true;
    },
    fromSub,
  );
  return found;
}

for (const [name, open] of Object.entries(implementations)) {
  const contract = (title: string, body: (backend: BackendWriter, reader: BackendReader) => void): void => {
    test(`${name}: ${title}`, () => {
      const directory = mkdtempSync(join(tmpdir(), "concord-backend-"));
      const backend = open(directory);
      const reader = backend.reader();
      try {
        body(backend, reader);
      } finally {
        reader.close();
        backend.close();
        rmSync(directory, { recursive: true });
      }
    });
  };

  contract("a reader sees nothing before the commit, and all of it after", (backend, reader) => {
    backend.putRevision(key(2), bytes("a"));
    backend.putRevision(key(3, 0, true), bytes("b"));
    backend.put("lease", bytes("l"), bytes("ease"));
    reader.refresh();
    assert.equal(reader.getRevision(2, 0, false), undefined);
    assert.deepEqual(scan(reader), []);
    assert.equal(reader.get("lease", bytes("l")), undefined);

    backend.commit(7, 3);
    reader.refresh();
    assert.deepEqual(Buffer.from(reader.getRevision(2, 0, false) ?? []).toString(), "a");
    assert.equal(reader.getRevision(3, 0, false), undefined);
    assert.deepEqual(scan(reader), ["2/0=a", "3/0t=b"]);
    assert.deepEqual(Buffer.from(reader.get("lease", bytes("l")) ?? []).toString(), "ease");
    const { consistentIndex, term } = recover(reader);
    assert.deepEqual({ consistentIndex, term }, { consistentIndex: 7, term: 3 });
  });

  contract("deletions show after the commit", (backend, reader) => {
    for (let main = 2; main < 8; main++) backend.putRevision(key(main), bytes(`${main}`));
    backend.put("alarm", bytes("x"), new Uint8Array(0));
    backend.commit(1, 1);
    backend.deleteRevision(key(3));
    backend.deleteRevision(key(4, 0, true)); // not there: nothing happens
    backend.delete("alarm", bytes("x"));
    reader.refresh();
    assert.equal(reader.entries("alarm").length, 1);
    assert.equal(scan(reader).length, 6);
    backend.commit(2, 1);
    reader.refresh();
    assert.deepEqual(reader.entries("alarm"), []);
    assert.deepEqual(scan(reader), ["2/0=2", "4/0=4", "5/0=5", "6/0=6", "7/0=7"]);
  });

  contract("keys that do not ascend, as in a replay, replace and insert", (backend, reader) => {
    for (const main of [10, 11, 14]) backend.putRevision(key(main), bytes("old"));
    backend.commit(1, 1);
    backend.putRevision(key(11), bytes("new"));
    backend.putRevision(key(12, 3), bytes("between"));
    backend.putRevision(key(14), bytes("newest"));
    backend.putRevision(key(15), bytes("behind"));
    backend.commit(2, 1);
    reader.refresh();
    assert.deepEqual(scan(reader), ["10/0=old", "11/0=new", "12/3=between", "14/0=newest", "15/0=behind"]);
  });

  contract("a scan starts inside a revision and stops where the visitor says", (backend, reader) => {
    for (let sub = 0; sub < 5; sub++) backend.putRevision(key(2, sub, sub === 3), bytes(`${sub}`));
    backend.putRevision(key(2 ** 40 + 1), bytes("far"));
    backend.commit(1, 1);
    reader.refresh();
    assert.deepEqual(scan(reader, 2, 3), ["2/3t=3", "2/4=4", `${2 ** 40 + 1}/0=far`]);
    let visits = 0;
    reader.scanRevisions(2, () => ++visits < 3);
    assert.equal(visits, 3);
    assert.deepEqual(scan(reader, 2 ** 40 + 2), []);
  });

  contract("entries of a bucket come ascending by their bytes, copied", (backend, reader) => {
    const names = ["b", "a", "ab", "\u00ff", "\u0001"];
    for (const text of names) backend.put("authUsers", Buffer.from(text, "latin1"), bytes(text));
    backend.put("authUsers", bytes("a"), bytes("second"));
    backend.commit(1, 1);
    reader.refresh();
    const entries = reader.entries("authUsers");
    assert.deepEqual(
      entries.map((entry) => Buffer.from(entry.key).toString("latin1")),
      ["\u0001", "a", "ab", "b", "\u00ff"],
    );
    assert.equal(Buffer.from(entries[1].value).toString(), "second");
    entries[1].value.fill(0);
    assert.equal(Buffer.from(reader.get("authUsers", bytes("a")) ?? []).toString(), "second");
  });

  contract("values up to megabytes come back whole", (backend, reader) => {
    const sizes = [0, 1, 3000, 70_000, 1_600_000];
    sizes.forEach((size, i) => backend.putRevision(key(2 + i), new Uint8Array(size).fill(i + 1)));
    backend.commit(1, 1);
    reader.refresh();
    sizes.forEach((size, i) => {
      const value = reader.getRevision(2 + i, 0, false);
      assert.equal(value?.length, size);
      assert.equal(
        value?.every((byte) => byte === i + 1),
        true,
      );
    });
    const lengths: number[] = [];
    reader.scanRevisions(0, (_main, _sub, _tombstone, value, length) => {
      assert.equal(length === 0 || value[length - 1] === lengths.length + 1, true);
      return lengths.push(length) > 0;
    });
    assert.deepEqual(lengths, sizes);
  });

  contract("random puts and deletions over many commits leave what a model says", (backend, reader) => {
    const seed = 20260721;
    const prng = new Prng(seed);
    const model = new Map<number, string>();
    let main = 1;
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 50; i++) {
        model.set(++main, "v".repeat(prng.below(900)));
        backend.putRevision(key(main), bytes(model.get(main) as string));
      }
      for (let i = 0; i < 45; i++) {
        const victim = 2 + prng.below(main);
        model.delete(victim);
        backend.deleteRevision(key(victim));
      }
      backend.commit(round + 1, 1);
    }
    reader.refresh();
    assert.deepEqual(
      scan(reader),
      [...model].map(([at, value]) => `${at}/0=${value}`),
      `seed ${seed}`,
    );
    const { allocatedBytes, inUseBytes } = backend.size();
    assert.ok(inUseBytes > 0 && inUseBytes <= allocatedBytes, `${inUseBytes} of ${allocatedBytes} bytes`);
  });
}

test("lmdb: a snapshot stays until refresh, and what was not committed is gone after close", () => {
  const directory = mkdtempSync(join(tmpdir(), "concord-backend-"));
  const path = join(directory, "db");
  let backend = openLmdbBackend(path);
  backend.putRevision(key(2), bytes("kept"));
  backend.commit(1, 1);
  let reader = backend.reader();
  assert.equal(scan(reader).length, 1);
  backend.putRevision(key(3), bytes("late"));
  backend.commit(2, 1);
  assert.equal(scan(reader).length, 1, "the old snapshot");
  reader.refresh();
  assert.equal(scan(reader).length, 2);
  backend.putRevision(key(4), bytes("lost"));
  reader.close();
  backend.close();
  assert.throws(() => backend.putRevision(key(5), bytes("x")), /is closed/);

  backend = openLmdbBackend(path);
  reader = backend.reader();
  assert.deepEqual(scan(reader), ["2/0=kept", "3/0=late"]);
  assert.deepEqual([...(reader.get("meta", META_CONSISTENT_INDEX) ?? [])], [0, 0, 0, 0, 0, 0, 0, 2]);
  reader.close();
  backend.close();
  rmSync(directory, { recursive: true });
});
