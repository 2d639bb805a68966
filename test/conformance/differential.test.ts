/**
 * Same answers as etcd: one random sequence of KV calls goes to the member under test and to a real etcd, and every field
 * of every answer is compared. `SEED=n OPS=n` replays a run; the names in test/support/binaries.ts choose the programs.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { create, toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import {
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  PutRequestSchema,
  RangeRequestSchema,
  TxnRequestSchema,
} from "../../src/proto/gen/rpc_pb.ts";
import { referenceMember, skipWithout } from "../support/binaries.ts";
import { EtcdClient, failureOf } from "../support/etcd-client.ts";
import { startMember, type Member } from "../support/member.ts";
import { memoryDir, type Cleanup } from "../support/temp-dir.ts";
import { canonicalResponse, dump } from "./canonical.ts";
import { differencesFor, isExcused, isOmitted } from "./known-differences.ts";
import { deletesAndPuts, isReadOnly, OperationSource, type Operation, type StoreView } from "./operations.ts";

const OPS = Number(process.env["OPS"] ?? 20_000);
const SEED = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const UNAVAILABLE = 14;
const LOG_SHOWN_MAX = 6000;
// Reads between two writes may run at the same time; so many at most.
const READS_IN_FLIGHT_MAX = 32;
// At the end the whole key space is compared at this many revisions.
const HISTORY_SAMPLES = 100;

const SCHEMAS: Record<Operation["method"], DescMessage> = {
  Put: PutRequestSchema,
  Range: RangeRequestSchema,
  DeleteRange: DeleteRangeRequestSchema,
  Txn: TxnRequestSchema,
  Compact: CompactionRequestSchema,
};

const reference = referenceMember();

test(
  "answers every KV call as etcd does",
  { skip: skipWithout("etcd", reference) ?? false, timeout: 300_000 },
  async (t) => {
    assert.ok(reference, "no etcd on PATH, and CI is set: install etcd, this test must not be left out");
    t.diagnostic(`SEED=${SEED} OPS=${OPS}`);
    const [ours, theirs] = await Promise.all([startMember(t, { dataDir: memoryDir(t) }), startReference(t)]);
    t.after(() => reportDeath(t, { ours, theirs }));
    const comparison = new Comparison(connect(t, ours), connect(t, theirs), await versionOf(theirs));
    await comparison.run(OPS);
    await comparison.compareHistory();
    t.diagnostic(comparison.summary());
  },
);

function startReference(t: Cleanup): Promise<Member> {
  return startMember(t, {
    program: reference as NonNullable<typeof reference>,
    dataDir: memoryDir(t, "reference"),
  });
}

function connect(t: Cleanup, member: Member): EtcdClient {
  const client = new EtcdClient(member.address);
  t.after(() => client.close());
  return client;
}

/** A member that ended by itself has said why in its log. */
function reportDeath(t: TestContext, members: Record<string, Member>): void {
  for (const [name, { exit, log }] of Object.entries(members)) {
    if (exit?.signal === null)
      t.diagnostic(`${name} ended with ${JSON.stringify(exit)}:\n${log.slice(-LOG_SHOWN_MAX)}`);
  }
}

async function versionOf(member: Member): Promise<string> {
  const response = await fetch(`${member.clientUrl}/version`);
  return ((await response.json()) as { etcdserver: string }).etcdserver;
}

/** What a member answered, ready to compare. `code` is the gRPC status, `revision` is 0 for an error. */
interface Outcome {
  readonly code: number;
  readonly text: string;
  readonly revision: number;
}

class Comparison {
  readonly #ours: EtcdClient;
  readonly #theirs: EtcdClient;
  readonly #version: string;
  readonly #view: StoreView = { revision: 1, compactRevision: 0, reputRevisions: new Set() };
  readonly #source = new OperationSource(SEED, this.#view);
  /** Answers by method and gRPC status, to see that a run covered what it should. */
  readonly #counts = new Map<string, number>();
  #index = 0;

  constructor(ours: EtcdClient, theirs: EtcdClient, version: string) {
    this.#ours = ours;
    this.#theirs = theirs;
    this.#version = version;
  }

  async run(operations: number): Promise<void> {
    let reads: Array<Promise<void>> = [];
    while (this.#index < operations) {
      const operation = this.#source.next();
      if (isOmitted(operation, this.#version)) continue;
      const index = this.#index++;
      if (isReadOnly(operation)) {
        reads.push(this.#compare(operation, index));
        if (reads.length < READS_IN_FLIGHT_MAX) continue;
      }
      await Promise.all(reads);
      reads = [];
      if (!isReadOnly(operation)) await this.#compare(operation, index);
    }
    await Promise.all(reads);
  }

  /** Compares the whole key space at revisions spread over the history that is left. */
  async compareHistory(): Promise<void> {
    const { revision, compactRevision } = this.#view;
    for (let sample = 0; sample < HISTORY_SAMPLES; sample++) {
      const at =
        compactRevision + Math.floor(((revision - compactRevision) * sample) / (HISTORY_SAMPLES - 1));
      const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), revision: BigInt(at) };
      await this.#compare(
        { method: "Range", request: create(RangeRequestSchema, everything) },
        this.#index++,
      );
    }
  }

  summary(): string {
    const counts = [...this.#counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `${name}: ${count}`);
    const skipped = differencesFor(this.#version).map(({ what }) => what);
    return [
      `reference ${this.#version}, revision ${this.#view.revision}, compacted ${this.#view.compactRevision}`,
      ...counts,
      ...skipped.map((what) => `known difference of this release: ${what}`),
    ].join("\n");
  }

  async #compare(operation: Operation, index: number): Promise<void> {
    const [ours, theirs] = await Promise.all([
      outcome(this.#ours, operation),
      outcome(this.#theirs, operation),
    ]);
    // Two members that are both gone would agree on everything.
    const gone = ours.code === UNAVAILABLE || theirs.code === UNAVAILABLE;
    const differ = gone || ours.text !== theirs.text;
    if (differ && !isExcused(operation, this.#version, { ours: ours.text, theirs: theirs.text })) {
      assert.fail(explain(operation, index, ours, theirs));
    }
    this.#learn(operation, theirs);
  }

  #learn(operation: Operation, { text, revision }: Outcome): void {
    this.#view.revision = Math.max(this.#view.revision, revision);
    if (deletesAndPuts(operation)) this.#view.reputRevisions.add(revision);
    if (operation.method === "Compact" && revision > 0)
      this.#view.compactRevision = Number(operation.request.revision);
    const name = `${operation.method} ${revision > 0 ? "OK" : text}`;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }
}

async function outcome(client: EtcdClient, operation: Operation): Promise<Outcome> {
  try {
    const response = await client.callBytes(`/etcdserverpb.KV/${operation.method}`, encode(operation));
    return { code: 0, ...canonicalResponse(operation, response) };
  } catch (error) {
    const { code, message } = failureOf(error);
    // The text for bytes that are no message is the protobuf library's own.
    const isParseError = code === 13 && message.startsWith("grpc: error unmarshalling request");
    return { code, text: `error ${code}: ${isParseError ? "cannot parse" : message}`, revision: 0 };
  }
}

function encode(operation: Operation): Uint8Array {
  return (
    operation.bytes ?? toBinary(SCHEMAS[operation.method], operation.request as MessageShape<DescMessage>)
  );
}

function explain(operation: Operation, index: number, ours: Outcome, theirs: Outcome): string {
  return [
    `operation ${index} is answered differently; replay with SEED=${SEED} OPS=${index + 1}`,
    `${operation.method} ${dump(operation.request)}${operation.bytes ? ` sent as ${Buffer.from(operation.bytes).toString("hex")}` : ""}`,
    `ours: ${ours.text}`,
    `theirs: ${theirs.text}`,
  ].join("\n");
}
