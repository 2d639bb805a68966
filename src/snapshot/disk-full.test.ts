import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { openMemoryBackend } from "../storage/memory-backend.ts";
import { writeRevisionKey } from "../storage/revision-key.ts";
import { cannotMount, smallDisk } from "../../test/support/small-disk.ts";
import { buildDatabase } from "./install-database.ts";
import { writeSnapshot } from "./snapshot.ts";

test(
  "a full disk is an error that names the file, and leaves nothing behind",
  { skip: cannotMount() },
  async (t) => {
    const backend = openMemoryBackend();
    const key = new Uint8Array(17);
    for (let main = 2; main < 400; main++) {
      writeRevisionKey(key, 0, main, 0, false);
      backend.putRevision(key, new Uint8Array(20_000));
    }
    backend.commit(9, 2);
    const folder = smallDisk(t, 4);
    const path = join(folder, "file");
    assert.throws(
      () => writeSnapshot(backend.reader(), path),
      new RegExp(`cannot write snapshot file ${path}: ENOSPC`),
    );
    assert.deepEqual(readdirSync(folder), []);

    writeFileSync(path, new Uint8Array(1024));
    await assert.rejects(
      buildDatabase(path, join(folder, "tmp-install-9"), { index: 9, term: 2 }),
      /cannot install snapshot file .*: no space left on device: \d+ bytes are free, \d+ are needed/,
    );
    assert.deepEqual(readdirSync(folder), ["file"]);
  },
);
