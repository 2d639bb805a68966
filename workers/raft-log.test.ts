import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { simpleConfState } from "../src/cluster/conf-state.ts";
import { EntryType } from "../src/raft/raft.ts";
import { createWal } from "../src/wal/open-wal.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { MemberOptions, Recovered } from "./control.ts";
import { openLog } from "./raft-log.ts";

const CONF_STATE = simpleConfState([1n], []);

function recovered(consistentIndex: number): Recovered {
  return { consistentIndex, term: 2, voters: [1n], learners: [], removed: [] };
}

test("a log behind a snapshot that is not there, nor in the database, is refused", async (t) => {
  const folder = tempDir(t, "raft-log");
  const walDir = join(folder, "wal");
  const wal = await createWal(walDir, { nodeId: 1n, clusterId: 1n });
  for (let index = 1; index <= 100; index++)
    wal.appendEntry(EntryType.normal, 2, index, new Uint8Array(8), 0, 8);
  wal.appendHardState({ term: 2, vote: 1n, commit: 100 });
  // One of our own, which the database had reached, and one of a leader.
  wal.appendSnapshot({ index: 50, term: 2, confState: CONF_STATE });
  await wal.flush();
  const open = async (consistentIndex: number): Promise<{ entries: number; snapshotIndex: number }> => {
    const options: Partial<MemberOptions> = { walDir, snapDir: folder, databasePath: "db", bootstrap: false };
    const log = await openLog(options as MemberOptions, recovered(consistentIndex), {});
    await log.storage.close();
    return { entries: log.entries.length, snapshotIndex: log.snapshotIndex };
  };
  assert.deepEqual(await open(20), { entries: 1, snapshotIndex: 50 });

  wal.appendSnapshot({ index: 500, term: 2, confState: CONF_STATE });
  await wal.flush();
  await wal.close();
  await assert.rejects(
    open(95),
    /goes on behind a snapshot at index 500, but database db holds entries up to 95 and .*01f4\.snap\.db is missing/,
  );
  assert.equal((await open(500)).snapshotIndex, 500);
});
