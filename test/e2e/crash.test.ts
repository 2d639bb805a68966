/**
 * Nothing acknowledged is lost: writers run, the member is killed (kill -9) in the middle and started again, ROUNDS times.
 * After each start every revision must belong to a request that was sent, every acknowledged write must be found at its
 * revision, and the whole store and its hash must equal a replay of the history. `SEED=n ROUNDS=n` replays the schedule.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Prng } from "../../src/base/prng.ts";
import type { KeyValue } from "../../src/proto/gen/kv_pb.ts";
import { KV, Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import { EtcdClient, failureOf } from "../support/etcd-client.ts";
import { launchMember, restartMember, startMember, type Member } from "../support/member.ts";
import { tempDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";
import { readKey, resolveUnknown, Writer } from "./crash-load.ts";
import { History, Replay, type Write } from "./history.ts";
import { SEED } from "../support/seed.ts";

const ROUNDS = Number(process.env["ROUNDS"] ?? 3);
const CONNECTIONS = 4;
const WRITERS_A_CONNECTION = 12;
// The kill comes after a random number of acknowledged writes: with none, with a few, or well after a checkpoint.
const ACKNOWLEDGED_BEFORE_KILL_MAX = 1200;
// Small, so that raft snapshots and the trimming of the log happen between kills too.
const SNAPSHOT_COUNT = 400;
const READS_IN_FLIGHT = 64;
const UNIMPLEMENTED = 12;
const EVERYTHING = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

test(
  `every acknowledged write survives ${ROUNDS} kills`,
  { timeout: 60_000 + ROUNDS * 20_000 },
  async (t) => {
    t.diagnostic(`SEED=${SEED} ROUNDS=${ROUNDS}`);
    const crashes = new CrashTest(t);
    let member = await startMember(t, {
      dataDir: tempDir(t),
      args: ["--snapshot-count", `${SNAPSHOT_COUNT}`],
    });
    for (let round = 1; round <= ROUNDS; round++) {
      await crashes.loadUntilKilled(member);
      await crashes.perhapsKillAtStart(member);
      member = await restartMember(t, member);
      await crashes.verify(member);
    }
    // etcd ends itself by the signal that asked it to, once it has cleaned up; code 0 is as good.
    const { code, signal } = await member.stop();
    assert.ok(
      code === 0 || signal === "SIGTERM",
      `SIGTERM ended in code ${code}, ${signal}\n${member.log.slice(-2000)}`,
    );
    member = await restartMember(t, member);
    await crashes.verify(member);
    t.diagnostic(crashes.summary());
  },
);

class CrashTest {
  readonly #t: TestContext;
  readonly #prng = new Prng(SEED);
  readonly #writers: Writer[];
  readonly #history = new History();
  readonly #replay = new Replay();
  /** Writes up to this revision have been replayed and read back. */
  #verified = 1;
  #acknowledged = 0;
  #recovered = 0;
  #killsAtStart = 0;
  #hashes = 0;
  /** Why no hash could be compared. */
  #noHash = "";

  constructor(t: TestContext) {
    this.#t = t;
    const count = CONNECTIONS * WRITERS_A_CONNECTION;
    this.#writers = Array.from(
      { length: count },
      (_, id) => new Writer(id, new Prng(this.#prng.nextUint32())),
    );
  }

  /** Runs all writers and kills the member after a random number of acknowledged writes. */
  async loadUntilKilled(member: Member): Promise<void> {
    const killAt = this.#acknowledged + this.#prng.below(ACKNOWLEDGED_BEFORE_KILL_MAX);
    const acknowledged = (write: Write): void => {
      this.#history.add(write);
      if (++this.#acknowledged >= killAt) member.process.kill("SIGKILL");
    };
    const clients = Array.from({ length: CONNECTIONS }, () => new EtcdClient(member.address));
    await Promise.all(
      this.#writers.map((writer, index) => writer.run(clients[index % CONNECTIONS], { acknowledged })),
    );
    for (const client of clients) client.close();
    const exit = await member.exited;
    assert.equal(exit.signal, "SIGKILL", `the member ended by itself\n${member.log.slice(-4000)}`);
  }

  /** Sometimes the member is killed again while it still recovers. */
  async perhapsKillAtStart(member: Member): Promise<void> {
    if (!this.#prng.chance(0.3)) return;
    const starting = await launchMember(this.#t, { ...member.options, ports: member.ports });
    await waitFor("the first line of the log", 10_000, () => (starting.log.length > 0 ? true : undefined));
    await starting.kill();
    this.#killsAtStart++;
  }

  /** Compares a member that has just started with everything that was written. */
  async verify(member: Member): Promise<void> {
    const client = new EtcdClient(member.address);
    try {
      await this.#resolveUnknowns(client);
      const { header, kvs } = await client.call(KV.method.range, EVERYTHING);
      const writes = this.#history.assertGapless(Number(header?.revision));
      await this.#readBack(client, writes.slice(this.#verified - 1));
      this.#verified = Number(header?.revision);
      assertSameState(kvs, this.#replay.state);
      await this.#compareHash(client);
    } finally {
      client.close();
    }
  }

  summary(): string {
    return (
      `${this.#acknowledged} acknowledged writes, ${this.#recovered} unacknowledged ones that had been applied, revision ` +
      `${this.#verified}, ${this.#killsAtStart} kills during start, ${this.#hashes} hashes compared ${this.#noHash}`
    );
  }

  async #resolveUnknowns(client: EtcdClient): Promise<void> {
    for (const writer of this.#writers) {
      if (writer.unknown === undefined) continue;
      const revision = await resolveUnknown(client, writer.unknown);
      if (revision !== undefined) {
        const write = { revision, changes: writer.unknown };
        this.#history.add(write);
        writer.applied(write);
        this.#recovered++;
      }
      writer.unknown = undefined;
    }
  }

  /** Replays the new writes and reads every one of them at its own revision. */
  async #readBack(client: EtcdClient, writes: readonly Write[]): Promise<void> {
    const reads: Array<() => Promise<void>> = [];
    for (const write of writes) {
      const expected = this.#replay.apply(write);
      write.changes.forEach(({ key }, sub) =>
        reads.push(async () => {
          assertSameKeyValue(
            await readKey(client, key, write.revision),
            expected[sub],
            `${key} at revision ${write.revision}`,
          );
        }),
      );
    }
    for (let next = 0; next < reads.length; next += READS_IN_FLIGHT) {
      await Promise.all(reads.slice(next, next + READS_IN_FLIGHT).map((read) => read()));
    }
  }

  async #compareHash(client: EtcdClient): Promise<void> {
    try {
      const { hash } = await client.call(Maintenance.method.hashKV, {});
      assert.equal(hash, this.#replay.hashKv, "HashKV differs from the hash of the replayed history");
      this.#hashes++;
    } catch (error) {
      if ((error as { code?: unknown }).code !== UNIMPLEMENTED) throw error;
      this.#noHash = failureOf(error).message;
    }
  }
}

function assertSameState(kvs: readonly KeyValue[], expected: ReadonlyMap<string, KeyValue>): void {
  const found = kvs.map((kv) => Buffer.from(kv.key).toString());
  assert.deepEqual(found, [...expected.keys()].sort(), "keys of the store");
  for (const kv of kvs) {
    const key = Buffer.from(kv.key).toString();
    assertSameKeyValue(kv, expected.get(key), key);
  }
}

function assertSameKeyValue(
  found: KeyValue | undefined,
  expected: KeyValue | undefined,
  where: string,
): void {
  assert.equal(describe(found), describe(expected), where);
}

function describe(kv: KeyValue | undefined): string {
  if (kv === undefined) return "absent";
  const { createRevision, modRevision, version, lease } = kv;
  return `${Buffer.from(kv.value).toString()} create ${createRevision} mod ${modRevision} version ${version} lease ${lease}`;
}
