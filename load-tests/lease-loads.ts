/** The loads of leases: grants one after the other, and keep-alives on streams that many leases share. */
import { create, toBinary } from "@bufbuild/protobuf";
import { Lease, LeaseKeepAliveRequestSchema } from "../src/proto/gen/rpc_pb.ts";
import { LoadConnection } from "./generator-connection.ts";
import type { LoadStream, StreamReader } from "./generator-stream.ts";
import { generate } from "./generator.ts";
import { Latencies } from "./latencies.ts";
import { readKeepAlive } from "./keep-alive-answer.ts";
import type { Load } from "./loads.ts";
import { WARM_UP_SECONDS, withCpu, type RawRun, type Shape } from "./measure.ts";
import { framed, requestBody, type RequestBody } from "./requests.ts";
import type { LoadTarget } from "./side.ts";

// Longer than any run: no lease of these loads expires while one is measured.
const TTL_SECONDS = 86_400;
const GRANTS: Shape = { connections: 10, streams: 100 };
const KEEP_ALIVE_LEASES = 10_000;
const KEEP_ALIVES: Shape = { connections: 10, streams: 10 };
const IN_FLIGHT_A_STREAM = 10;
const FILLED = "leases kept alive";

export const LEASE_LOADS: readonly Load[] = [
  {
    name: "lease-grant",
    title: "LeaseGrant, id chosen by the server, 10x100",
    tool: "generator",
    prepare: async () => undefined,
    measure: measureGrants,
  },
  {
    name: "lease-keepalive",
    title: `LeaseKeepAlive, ${KEEP_ALIVE_LEASES} leases on 10x10 streams, ${IN_FLIGHT_A_STREAM} in flight on each`,
    tool: "generator",
    prepare: (side) => grantForKeepAlives(side),
    measure: measureKeepAlives,
  },
];

/** How many leases there are. */
export async function countLeases(side: LoadTarget): Promise<number> {
  return (await side.client.call(Lease.method.leaseLeases, {})).leases.length;
}

/** Grants leases of these ids, each with the time to live that `ttlSeconds` tells when it is asked for. */
export async function grantLeases(
  side: LoadTarget,
  ids: { first: number; count: number },
  ttlSeconds: () => number,
): Promise<void> {
  let granted = 0;
  const next = (): RequestBody | undefined => {
    if (granted === ids.count) return undefined;
    const id = BigInt(ids.first + granted++);
    return requestBody(Lease.method.leaseGrant, { ID: id, TTL: BigInt(ttlSeconds()) });
  };
  await generate({ address: side.address, ...GRANTS, seconds: Infinity, script: () => ({ next }) });
}

async function measureGrants(side: LoadTarget, seconds: number) {
  const request = requestBody(Lease.method.leaseGrant, { TTL: BigInt(TTL_SECONDS) });
  const options = { address: side.address, ...GRANTS, script: () => ({ next: () => request }) };
  await generate({ ...options, seconds: WARM_UP_SECONDS });
  const before = await countLeases(side);
  let granted = 0;
  const sample = await withCpu(side, async () => {
    const run = await generate({ ...options, seconds });
    granted = run.requests;
    return run;
  });
  const more = (await countLeases(side)) - before;
  if (more !== granted) throw new Error(`${granted} grants were answered and ${more} leases were made`);
  return sample;
}

async function grantForKeepAlives(side: LoadTarget): Promise<void> {
  if (side.filled.has(FILLED)) return;
  await grantLeases(side, { first: 1, count: KEEP_ALIVE_LEASES }, () => TTL_SECONDS);
  side.filled.add(FILLED);
}

async function measureKeepAlives(side: LoadTarget, seconds: number) {
  await keepAlive(side, WARM_UP_SECONDS);
  return withCpu(side, () => keepAlive(side, seconds));
}

async function keepAlive(side: LoadTarget, seconds: number): Promise<RawRun> {
  const connections = await Promise.all(
    Array.from({ length: KEEP_ALIVES.connections }, () => LoadConnection.open(side.address)),
  );
  const latencies = new Latencies();
  const startedAt = performance.now();
  const run = { latencies, end: startedAt + seconds * 1000, request: keepAliveRequests() };
  try {
    const leases = KEEP_ALIVE_LEASES / (KEEP_ALIVES.connections * KEEP_ALIVES.streams);
    const streams = connections.flatMap((connection, c) =>
      Array.from({ length: KEEP_ALIVES.streams }, (_, s) => {
        const first = 1 + (c * KEEP_ALIVES.streams + s) * leases;
        return new KeepAliveStream(run, connection, { first, count: leases });
      }),
    );
    const broken = Promise.race(connections.map((connection) => connection.closed));
    await Promise.race([Promise.all(streams.map((stream) => stream.finished)), broken]);
  } finally {
    for (const connection of connections) connection.close();
  }
  const elapsed = (performance.now() - startedAt) / 1000;
  return { requests: latencies.count, seconds: elapsed, ...latencies.percentiles() };
}

interface KeepAliveRun {
  readonly latencies: Latencies;
  /** No request is sent after this. */
  readonly end: number;
  /** By lease id. */
  readonly request: readonly Buffer[];
}

let requests: Buffer[] | undefined;

function keepAliveRequests(): readonly Buffer[] {
  requests ??= Array.from({ length: KEEP_ALIVE_LEASES + 1 }, (_, id) =>
    framed(toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID: BigInt(id) }))),
  );
  return requests;
}

/** Asks for its leases in turn, a few at a time. */
class KeepAliveStream implements StreamReader {
  readonly finished: Promise<void>;
  readonly #run: KeepAliveRun;
  readonly #stream: LoadStream;
  readonly #first: number;
  /** When the request of each lease was sent; 0: none is in flight. */
  readonly #sentAt: Float64Array;
  #next = 0;
  #inFlight = 0;
  #done: () => void = () => undefined;
  #failed: (error: Error) => void = () => undefined;

  constructor(run: KeepAliveRun, connection: LoadConnection, leases: { first: number; count: number }) {
    this.#run = run;
    this.#first = leases.first;
    this.#sentAt = new Float64Array(leases.count);
    this.finished = new Promise((resolve, reject) => {
      this.#done = resolve;
      this.#failed = reject;
    });
    this.#stream = connection.openStream("/etcdserverpb.Lease/LeaseKeepAlive", this);
    for (let i = 0; i < IN_FLIGHT_A_STREAM; i++) this.#sendNext(performance.now());
  }

  onMessage(bytes: Buffer, start: number, end: number): void {
    const { id, ttlSeconds } = readKeepAlive(bytes, start, end);
    const index = id - this.#first;
    const sentAt = this.#sentAt[index] ?? 0;
    if (sentAt === 0 || ttlSeconds !== TTL_SECONDS)
      return this.#failed(new Error(`an answer for lease ${id} with a TTL of ${ttlSeconds}`));
    const now = performance.now();
    this.#run.latencies.add(now - sentAt);
    this.#sentAt[index] = 0;
    this.#inFlight--;
    if (now < this.#run.end) this.#sendNext(now);
    else if (this.#inFlight === 0) this.#done();
  }

  onEnd(grpcStatus: string): void {
    this.#failed(new Error(`a keep-alive stream ended with grpc-status ${grpcStatus}`));
  }

  #sendNext(now: number): void {
    const index = this.#next;
    this.#next = (index + 1) % this.#sentAt.length;
    this.#sentAt[index] = now;
    this.#inFlight++;
    this.#stream.send(this.#run.request[this.#first + index]);
  }
}
