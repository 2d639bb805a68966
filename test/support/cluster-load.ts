/**
 * Clients that read and write a few keys through all members of a cluster, whatever happens to it, and keep the history of what
 * they asked and were told, for the linearizability checker.
 */
import { create } from "@bufbuild/protobuf";
import { Prng } from "../../src/base/prng.ts";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  KV,
  RequestOpSchema,
  type RangeResponse,
} from "../../src/proto/gen/rpc_pb.ts";
import { checkLinearizable, type Operation, type OperationOutput } from "../sim/linearizability.ts";
import { EtcdClient } from "./etcd-client.ts";

/** Longer than an election, so that a request often outlives the loss of its leader. */
const DEADLINE_MS = 3_000;
/** Between two tries of a client whose member refused it. */
const PAUSE_MS = 20;
const KEYS = 6;

export interface LoadOptions {
  readonly seed: number;
  readonly clients: number;
  /** `host:port` of the members; asked anew for each request, since members come and go. */
  readonly addresses: () => readonly string[];
  /** Of all keys; loads that follow each other on one cluster need different ones. `load/` unless given. */
  readonly prefix?: string;
  /** Rest of a client between an answer and its next request, in ms; none unless given. */
  readonly restMs?: number;
}

/** What the load did so far. */
export interface LoadReport {
  readonly history: readonly Operation[];
  readonly acknowledgedWrites: number;
  readonly failures: ReadonlyMap<string, number>;
}

export class ClusterLoad {
  readonly #options: LoadOptions;
  readonly #history: Operation[] = [];
  readonly #failures = new Map<string, number>();
  readonly #clients = new Map<string, EtcdClient>();
  readonly #writeTimes: number[] = [];
  readonly #loops: Promise<void>[];
  #process = 0;
  #serial = 0;
  #stopping = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#loops = Array.from({ length: options.clients }, (_, i) => this.#run(new Prng(options.seed + i)));
  }

  /** Writes acknowledged so far. */
  get acknowledgedWrites(): number {
    return this.#writeTimes.length;
  }

  /** Resolves once `count` more writes have been acknowledged. */
  async moreWrites(count: number): Promise<void> {
    const until = this.#writeTimes.length + count;
    while (this.#writeTimes.length < until && !this.#stopping)
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }

  /** Longest time without an acknowledged write since `sinceMs` (performance.now()), in ms. */
  longestGap(sinceMs: number): number {
    let last = sinceMs;
    let longest = 0;
    for (const at of [...this.#writeTimes.filter((time) => time >= sinceMs), performance.now()]) {
      longest = Math.max(longest, at - last);
      last = at;
    }
    return longest;
  }

  /** Ends the load as it is: the test has failed. */
  abandon(): void {
    this.#stopping = true;
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  /** Ends the load, reads every key once more, and closes the connections. */
  async stop(): Promise<LoadReport> {
    this.#stopping = true;
    await Promise.all(this.#loops);
    const process = this.#process++;
    for (let key = 0; key < KEYS; key++) await this.#finalRead(process, this.#key(key));
    for (const client of this.#clients.values()) client.close();
    return {
      history: this.#history,
      acknowledgedWrites: this.#writeTimes.length,
      failures: this.#failures,
    };
  }

  async #run(prng: Prng): Promise<void> {
    const { restMs = 0 } = this.#options;
    let process = this.#process++;
    while (!this.#stopping) {
      const addresses = this.#options.addresses();
      if (addresses.length === 0) return;
      const client = this.#client(addresses[prng.below(addresses.length)]);
      if (await this.#operate(client, process, prng)) {
        if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
        continue;
      }
      // What got no answer may still be on its way: the next operation belongs to another process of the history.
      process = this.#process++;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** False if there was no answer. */
  async #operate(client: EtcdClient, process: number, prng: Prng): Promise<boolean> {
    const key = this.#key(prng.below(KEYS));
    const dice = prng.below(100);
    const invoke = performance.now();
    const operation = { process, key, invoke, input: {} as Operation["input"], op: "get" as Operation["op"] };
    let output: OperationOutput | null = null;
    try {
      if (dice < 45) output = await get(client, key);
      else if (dice < 50) output = await remove(client, key, (operation.op = "delete"));
      else if (dice < 85) {
        operation.op = "put";
        operation.input = { value: this.#value() };
        output = await put(client, key, operation.input.value as string);
      } else {
        const before = this.#lastSeen.get(key) ?? null;
        operation.op = "cas";
        operation.input = { value: this.#value(), expected: before };
        output = await compareAndSet(client, key, before, operation.input.value as string);
      }
    } catch (error) {
      this.#count(error);
    }
    const end = output === null ? Infinity : performance.now();
    if (output !== null || operation.op !== "get") this.#history.push({ ...operation, output, return: end });
    if (output !== null) this.#noteAnswer(operation, output);
    return output !== null;
  }

  /** Newest value that any client saw: what compare-and-set expects. */
  readonly #lastSeen = new Map<string, string | null>();

  #noteAnswer({ key, op, input }: Pick<Operation, "key" | "op" | "input">, output: OperationOutput): void {
    if (op === "get") this.#lastSeen.set(key, output.value ?? null);
    else if (op === "delete") this.#lastSeen.set(key, null);
    else if (output.succeeded !== false) this.#lastSeen.set(key, input.value ?? null);
    else this.#lastSeen.set(key, output.value ?? null);
    if (op === "put" || (op !== "get" && output.succeeded === true)) this.#writeTimes.push(performance.now());
  }

  #key(index: number): string {
    return `${this.#options.prefix ?? "load/"}${index}`;
  }

  #value(): string {
    return `v${++this.#serial}`;
  }

  #client(address: string): EtcdClient {
    let client = this.#clients.get(address);
    if (client === undefined)
      this.#clients.set(address, (client = new EtcdClient(address, { deadlineMs: DEADLINE_MS })));
    return client;
  }

  #count(error: unknown): void {
    const text = (error instanceof Error ? error.message : String(error)).replace(
      /( after|\. Last error).*/,
      "",
    );
    this.#failures.set(text, (this.#failures.get(text) ?? 0) + 1);
  }

  async #finalRead(process: number, key: string): Promise<void> {
    for (let tries = 0; ; tries++) {
      const addresses = this.#options.addresses();
      const invoke = performance.now();
      try {
        const output = await get(this.#client(addresses[tries % addresses.length]), key);
        this.#history.push({
          process,
          key,
          op: "get",
          input: {},
          output,
          invoke,
          return: performance.now(),
        });
        return;
      } catch (error) {
        if (tries === 10) throw error;
      }
    }
  }
}

/** Fails with what the checker says, or when it could not decide. */
export function assertLinearizable(history: readonly Operation[]): void {
  const verdict = checkLinearizable(history);
  if (!verdict.ok) throw new Error(`key ${verdict.key}: ${verdict.message}`);
  if (verdict.undecidedKeys.length > 0)
    throw new Error(`not decided for keys ${verdict.undecidedKeys.join(", ")}`);
}

async function get(client: EtcdClient, key: string): Promise<OperationOutput> {
  return readOutput(await client.call(KV.method.range, { key: Buffer.from(key) }));
}

function readOutput(response: RangeResponse): OperationOutput {
  const kv = response.kvs[0];
  return {
    revision: Number(response.header?.revision),
    value: kv === undefined ? null : Buffer.from(kv.value).toString(),
    modRevision: Number(kv?.modRevision ?? 0),
  };
}

async function put(client: EtcdClient, key: string, value: string): Promise<OperationOutput> {
  const response = await client.call(KV.method.put, { key: Buffer.from(key), value: Buffer.from(value) });
  return { revision: Number(response.header?.revision) };
}

async function remove(client: EtcdClient, key: string, _op: "delete"): Promise<OperationOutput> {
  const response = await client.call(KV.method.deleteRange, { key: Buffer.from(key), prevKv: true });
  const before = response.prevKvs[0];
  return {
    revision: Number(response.header?.revision),
    value: before === undefined ? null : Buffer.from(before.value).toString(),
    modRevision: Number(before?.modRevision ?? 0),
    succeeded: response.deleted > 0n,
  };
}

async function compareAndSet(
  client: EtcdClient,
  key: string,
  expected: string | null,
  value: string,
): Promise<OperationOutput> {
  const bytes = Buffer.from(key);
  const response = await client.call(KV.method.txn, {
    compare: [
      expected === null
        ? {
            key: bytes,
            result: Compare_CompareResult.EQUAL,
            target: Compare_CompareTarget.CREATE,
            targetUnion: { case: "createRevision", value: 0n },
          }
        : {
            key: bytes,
            result: Compare_CompareResult.EQUAL,
            target: Compare_CompareTarget.VALUE,
            targetUnion: { case: "value", value: Buffer.from(expected) },
          },
    ],
    success: [
      create(RequestOpSchema, {
        request: { case: "requestPut", value: { key: bytes, value: Buffer.from(value) } as never },
      }),
    ],
    failure: [create(RequestOpSchema, { request: { case: "requestRange", value: { key: bytes } as never } })],
  });
  const revision = Number(response.header?.revision);
  if (response.succeeded) return { revision, succeeded: true };
  const answer = response.responses[0]?.response;
  if (answer?.case !== "responseRange") throw new Error("a failed Txn answered without its Range");
  return { ...readOutput(answer.value), revision, succeeded: false };
}
