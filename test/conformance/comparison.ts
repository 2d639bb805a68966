/**
 * Two members side by side: each operation goes to both, and every field of the answers is compared. What the answers say of the
 * store steers the next operations.
 */
import assert from "node:assert/strict";
import { create, toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import {
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  Lease,
  LeaseGrantRequestSchema,
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
  LeaseLeasesRequestSchema,
  LeaseRevokeRequestSchema,
  LeaseTimeToLiveRequestSchema,
  PutRequestSchema,
  RangeRequestSchema,
  TxnRequestSchema,
} from "../../src/proto/gen/rpc_pb.ts";
import { failureOf, type EtcdClient } from "../support/etcd-client.ts";
import { canonicalResponse, dump } from "./canonical.ts";
import { differencesFor, isExcused, isOmitted } from "./known-differences.ts";
import { deletesAndPuts, isReadOnly, OperationSource, type Operation, type StoreView } from "./operations.ts";

const UNAVAILABLE = 14;
// Reads between two writes may run at the same time; so many at most.
const READS_IN_FLIGHT_MAX = 32;
// At the end the whole key space is compared at this many revisions.
const HISTORY_SAMPLES = 100;
// A lease is granted and asked for at the same time on both sides, but for what a busy machine does in between.
const SECONDS_APART_MAX = 5;

const SCHEMAS: Record<Operation["method"], DescMessage> = {
  Put: PutRequestSchema,
  Range: RangeRequestSchema,
  DeleteRange: DeleteRangeRequestSchema,
  Txn: TxnRequestSchema,
  Compact: CompactionRequestSchema,
  LeaseGrant: LeaseGrantRequestSchema,
  LeaseRevoke: LeaseRevokeRequestSchema,
  LeaseTimeToLive: LeaseTimeToLiveRequestSchema,
  LeaseLeases: LeaseLeasesRequestSchema,
  LeaseKeepAlive: LeaseKeepAliveRequestSchema,
};

/** What a member answered, ready to compare. `code` is the gRPC status, `revision` is 0 for an error. */
interface Outcome {
  readonly code: number;
  readonly text: string;
  readonly revision: number;
  /** Seconds that a lease has left, if that was asked. */
  readonly seconds?: number;
}

/** What the two members are, and what they are asked. */
export interface ComparisonOptions {
  readonly ours: EtcdClient;
  readonly theirs: EtcdClient;
  /** Release of theirs, for the known differences. */
  readonly version: string;
  readonly seed: number;
}

export class Comparison {
  /** What the reference's answers say of the store. */
  readonly view: StoreView = { revision: 1, compactRevision: 0, reputRevisions: new Set() };
  readonly #ours: EtcdClient;
  readonly #theirs: EtcdClient;
  readonly #version: string;
  readonly seed: number;
  readonly #source: OperationSource;
  /** Answers by method and gRPC status, to see that a run covered what it should. */
  readonly #counts = new Map<string, number>();
  #index = 0;

  constructor({ ours, theirs, version, seed }: ComparisonOptions) {
    this.#ours = ours;
    this.#theirs = theirs;
    this.#version = version;
    this.seed = seed;
    this.#source = new OperationSource(seed, this.view);
  }

  /** The next operation that both may be asked. */
  next(): Operation {
    for (;;) {
      const operation = this.#source.next();
      if (!isOmitted(operation, this.#version)) return operation;
    }
  }

  /** Asks both; fails if the answers differ. */
  async step(operation: Operation): Promise<void> {
    await this.#compare(operation, this.#index++);
  }

  /** Asks both `operations` random things. */
  async run(operations: number): Promise<void> {
    let reads: Array<Promise<void>> = [];
    while (this.#index < operations) {
      const operation = this.next();
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
    const { revision, compactRevision } = this.view;
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
      `reference ${this.#version}, revision ${this.view.revision}, compacted ${this.view.compactRevision}`,
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
    const differ = gone || ours.text !== theirs.text || !isSameTime(ours.seconds, theirs.seconds);
    if (differ && !isExcused(operation, this.#version, { ours: ours.text, theirs: theirs.text })) {
      assert.fail(explain(this.seed, operation, index, [ours, theirs]));
    }
    this.#learn(operation, theirs);
  }

  #learn(operation: Operation, { text, revision }: Outcome): void {
    this.view.revision = Math.max(this.view.revision, revision);
    if (deletesAndPuts(operation)) this.view.reputRevisions.add(revision);
    if (operation.method === "Compact" && revision > 0)
      this.view.compactRevision = Number(operation.request.revision);
    const name = `${operation.method} ${revision > 0 ? "OK" : text}`;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }
}

async function outcome(client: EtcdClient, operation: Operation): Promise<Outcome> {
  try {
    const response = await send(client, operation);
    return { code: 0, ...canonicalResponse(operation, response) };
  } catch (error) {
    const { code, message } = failureOf(error);
    // The text for bytes that are no message is the protobuf library's own.
    const isParseError = code === 13 && message.startsWith("grpc: error unmarshalling request");
    return { code, text: `error ${code}: ${isParseError ? "cannot parse" : message}`, revision: 0 };
  }
}

async function send(client: EtcdClient, operation: Operation): Promise<Uint8Array> {
  if (operation.method === "LeaseKeepAlive") {
    const response = await client.callStream(Lease.method.leaseKeepAlive, operation.request);
    return toBinary(LeaseKeepAliveResponseSchema, response);
  }
  const service = operation.method.startsWith("Lease") ? "Lease" : "KV";
  return client.callBytes(`/etcdserverpb.${service}/${operation.method}`, encode(operation));
}

function isSameTime(ours: number | undefined, theirs: number | undefined): boolean {
  return ours === theirs || Math.abs((ours ?? NaN) - (theirs ?? NaN)) <= SECONDS_APART_MAX;
}

function encode(operation: Operation): Uint8Array {
  return (
    operation.bytes ?? toBinary(SCHEMAS[operation.method], operation.request as MessageShape<DescMessage>)
  );
}

function explain(
  seed: number,
  operation: Operation,
  index: number,
  [ours, theirs]: [Outcome, Outcome],
): string {
  return [
    `operation ${index} is answered differently; replay with SEED=${seed} OPS=${index + 1}`,
    `${operation.method} ${dump(operation.request)}${operation.bytes ? ` sent as ${Buffer.from(operation.bytes).toString("hex")}` : ""}`,
    `ours: ${ours.text} ${ours.seconds ?? ""}`,
    `theirs: ${theirs.text} ${theirs.seconds ?? ""}`,
  ].join("\n");
}
