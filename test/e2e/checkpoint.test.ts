/**
 * The index checkpoint of a running member: written when it is idle, used by the start after a kill, and never taken for another
 * database's.
 */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CHECKPOINT_CHANGES_MIN } from "../../src/apply/idle-checkpoint.ts";
import { KV } from "../../src/proto/gen/rpc_pb.ts";
import { testsOurMember } from "../support/binaries.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { startMember, type Member } from "../support/member.ts";
import { memoryDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const PUTS_A_TXN = 125;
const TXNS_IN_FLIGHT = 8;
const CHECKPOINT = "member/snap/index.ckpt";
const WRITTEN = /wrote the index checkpoint/g;
const options = { timeout: 120_000, skip: testsOurMember() ? false : "etcd has no index checkpoint" };

test(
  "an idle member leaves a checkpoint, and a restart after kill -9 reads only what came behind it",
  options,
  async (t) => {
    const dataDir = memoryDir(t);
    let member = await startMember(t, { dataDir });
    await fill(member, "a", CHECKPOINT_CHANGES_MIN);
    await checkpoints(member, 1);
    await putAndCompact(member, "behind");
    await member.kill();
    assert.ok(!existsSync(join(dataDir, `${CHECKPOINT}.tmp`)));

    member = await startMember(t, { dataDir });
    assert.equal(recordsScanned(member), 1);
    assert.deepEqual(await state(member), { count: CHECKPOINT_CHANGES_MIN + 1, value: "behind" });
    // A compaction up to the checkpoint: the index in it still holds what the database then loses.
    await fill(member, "a", CHECKPOINT_CHANGES_MIN);
    await checkpoints(member, 1);
    await putAndCompact(member, "after");
    await member.kill();
    member = await startMember(t, { dataDir });
    assert.equal(recordsScanned(member), 1);
    assert.deepEqual(await state(member), { count: CHECKPOINT_CHANGES_MIN + 1, value: "after" });

    await checkpoints(member, 1);
    // Nothing came since: stopping has nothing to write.
    const before = readFileSync(join(dataDir, CHECKPOINT));
    await member.stop();
    assert.ok(before.equals(readFileSync(join(dataDir, CHECKPOINT))));
  },
);

test("a checkpoint of another life of the data directory is not used", options, async (t) => {
  const dataDir = memoryDir(t);
  const old = await startMember(t, { dataDir });
  await fill(old, "old", 2 * PUTS_A_TXN);
  await old.stop();
  const kept = join(memoryDir(t), "kept.ckpt");
  copyFileSync(join(dataDir, CHECKPOINT), kept);
  // Everything but the checkpoint goes; the new life gets further than the old one did.
  for (const name of ["wal", "snap/db", "snap/db-lock"])
    rmSync(join(dataDir, "member", name), { recursive: true, force: true });
  let member = await startMember(t, { dataDir });
  const keys = 8 * PUTS_A_TXN + 1;
  await fill(member, "new", keys - 1);
  await putAndCompact(member, "new");
  await member.kill();
  member = await startMember(t, { dataDir });
  assert.equal(recordsScanned(member), keys);
  assert.equal((await state(member)).count, keys);
  // Now the database has an id of its own.
  await member.stop();
  copyFileSync(kept, join(dataDir, CHECKPOINT));
  member = await startMember(t, { dataDir });
  assert.match(member.log, /index.ckpt belongs to [0-9a-f]{32}, expected [0-9a-f]{32}/);
  assert.equal((await state(member)).count, keys);
});

/** Puts keys `<prefix>/0` … in txns; ends when all are acknowledged. */
async function fill(member: Member, prefix: string, keys: number): Promise<void> {
  const client = new EtcdClient(member.address);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < keys) {
      const from = next;
      next += PUTS_A_TXN;
      const puts = Array.from({ length: Math.min(PUTS_A_TXN, keys - from) }, (_, i) =>
        put(`${prefix}/${from + i}`, "value"),
      );
      await client.call(KV.method.txn, {
        success: puts.map((value) => ({ request: { case: "requestPut" as const, value } })),
      });
    }
  };
  await Promise.all(Array.from({ length: TXNS_IN_FLIGHT }, worker));
  client.close();
}

function put(key: string, value: string): { key: Uint8Array; value: Uint8Array } {
  return { key: Buffer.from(key), value: Buffer.from(value) };
}

async function checkpoints(member: Member, count: number): Promise<void> {
  await waitFor(`${count} checkpoints`, 30_000, () =>
    (member.log.match(WRITTEN)?.length ?? 0) >= count ? true : undefined,
  );
}

/** Puts one more key and compacts what was before; ends when the database holds all of that. */
async function putAndCompact(member: Member, value: string): Promise<void> {
  const client = new EtcdClient(member.address);
  const { header } = await client.call(KV.method.put, put("z", value));
  await client.call(KV.method.compact, { revision: (header?.revision ?? 0n) - 1n, physical: true });
  client.close();
}

async function state(member: Member): Promise<{ count: number; value: string | undefined }> {
  const client = new EtcdClient(member.address);
  const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
  const { count } = await client.call(KV.method.range, { ...everything, countOnly: true });
  const { kvs } = await client.call(KV.method.range, everything);
  assert.equal(kvs.length, Number(count), "the tree's counts and its keys differ");
  client.close();
  const last = kvs.at(-1)?.value;
  return { count: Number(count), value: last && Buffer.from(last).toString() };
}

function recordsScanned(member: Member): number {
  const found = /"msg":"kvstore restored".*"records-scanned":(\d+)/.exec(member.log);
  assert.ok(found !== null, `nothing was restored\n${member.log}`);
  return Number(found[1]);
}
