/** The loads of requests, in the order they run. Each is the same for both members. */
import { Prng } from "../src/base/prng.ts";
import { KV } from "../src/proto/gen/rpc_pb.ts";
import { fill, THOUSAND, TWO_HUNDRED_THOUSAND, type DataSet } from "./data-sets.ts";
import { generate, type Script } from "./generator.ts";
import { LEASE_LOADS } from "./lease-loads.ts";
import { readPage } from "./page-answer.ts";
import { measureGenerator, measureH2load, type LoadSample, type Proof, type Shape } from "./measure.ts";
import {
  compareAndPutRequest,
  keyName,
  prefixRange,
  putRequest,
  requestBody,
  type RequestBody,
} from "./requests.ts";
import type { LoadTarget } from "./side.ts";

/** One row of the table. */
export interface Load {
  readonly name: string;
  /** What is sent, for the reader of the table. */
  readonly title: string;
  readonly tool: "h2load" | "generator";
  prepare(side: LoadTarget): Promise<void>;
  measure(side: LoadTarget, seconds: number): Promise<LoadSample>;
}

const KEYS = 10_000;
const PAGE_KEYS = 500;
const MANY: Shape = { connections: 10, streams: 100 };
const ONE_KEY = Buffer.from("one");
const SEED = 1;

export const LOADS: readonly Load[] = [
  puts({ connections: 10, streams: 100 }),
  puts({ connections: 100, streams: 10 }),
  puts({ connections: 1, streams: 1 }),
  generated("put-keys-10x100", `Put of 256 B to ${KEYS} keys`, (prng) => pick(prng, putRequest)),
  repeated("range-linearizable", "Range of one key, linearizable, 10x100", MANY, rangeOne(false), putOne),
  repeated("range-serializable", "Range of one key, serializable, 10x100", MANY, rangeOne(true), putOne),
  repeated(
    "range-1000",
    "Range of 1,000 keys, 10x10",
    { connections: 10, streams: 10 },
    requestBody(KV.method.range, prefixRange(THOUSAND.prefix)),
    filled(THOUSAND),
  ),
  counting(),
  paging(),
  generated("txn", `Txn: compare and put, ${KEYS} keys, 10x100`, (prng) => pick(prng, compareAndPutRequest)),
  generated("mixed-80-20", `80 % Range, 20 % Put, ${KEYS} keys, 10x100`, mixed),
  ...LEASE_LOADS,
];

/** A load that goes through one member of a cluster. */
export interface ClusterLoad extends Load {
  readonly through: "leader" | "follower";
}

export const CLUSTER_LOADS: readonly ClusterLoad[] = (["leader", "follower"] as const).flatMap((through) => {
  const loads = [
    puts({ connections: 10, streams: 100 }),
    puts({ connections: 1, streams: 1 }),
    repeated("range-linearizable", "Range of one key, linearizable, 10x100", MANY, rangeOne(false), putOne),
  ];
  return loads.map((load) => ({
    ...load,
    name: `${load.name}-${through}`,
    title: `${load.title}, through ${through === "leader" ? "the leader" : "a follower"}`,
    through,
  }));
});

function puts(shape: Shape): Load {
  const name = `put-${shape.connections}x${shape.streams}`;
  return h2load({
    name,
    title: `Put of 256 B to one key, ${name.slice(4)}`,
    shape,
    request: putRequest(ONE_KEY),
    proof: "revisions",
  });
}

function repeated(
  name: string,
  title: string,
  shape: Shape,
  request: RequestBody,
  prepare: (side: LoadTarget) => Promise<void>,
): Load {
  return { ...h2load({ name, title, shape, request, proof: "answerBytes" }), prepare };
}

function h2load(options: {
  name: string;
  title: string;
  shape: Shape;
  request: RequestBody;
  proof: Proof;
}): Load {
  const { name, title, shape, request, proof } = options;
  return {
    name,
    title,
    tool: "h2load",
    prepare: async () => undefined,
    measure: (side, seconds) => measureH2load(side, shape, { request, proof, seconds }),
  };
}

function generated(name: string, title: string, script: (prng: Prng) => () => RequestBody): Load {
  return {
    name,
    title,
    tool: "generator",
    prepare: async (side) => {
      // Every key exists before anything is measured.
      let index = 0;
      const next = () => (index < KEYS ? putRequest(keyName("keys/", index++)) : undefined);
      await generate({
        address: side.address,
        connections: 1,
        streams: 100,
        seconds: Infinity,
        script: () => ({ next }),
      });
    },
    measure: (side, seconds) =>
      measureGenerator(side, MANY, { script: (slot) => ({ next: script(new Prng(SEED + slot)) }), seconds }),
  };
}

function pick(prng: Prng, make: (key: Buffer) => RequestBody): () => RequestBody {
  const requests = bodies(make);
  return () => prng.pick(requests);
}

const cache = new Map<(key: Buffer) => RequestBody, RequestBody[]>();

/** Requests are made beforehand, one for each key: the generator must not spend its time on protobuf. */
function bodies(make: (key: Buffer) => RequestBody): RequestBody[] {
  let made = cache.get(make);
  if (made === undefined) {
    made = Array.from({ length: KEYS }, (_, i) => make(keyName("keys/", i)));
    cache.set(make, made);
  }
  return made;
}

const rangeKey = (key: Buffer): RequestBody => requestBody(KV.method.range, { key });

function mixed(prng: Prng): () => RequestBody {
  const [reads, writes] = [bodies(rangeKey), bodies(putRequest)];
  return () => prng.pick(prng.below(100) < 80 ? reads : writes);
}

function rangeOne(serializable: boolean): RequestBody {
  return requestBody(KV.method.range, { key: ONE_KEY, serializable });
}

async function putOne(side: LoadTarget): Promise<void> {
  const { path, body } = putRequest(ONE_KEY);
  await side.client.callBytes(path, body.subarray(5));
}

function filled(set: DataSet): (side: LoadTarget) => Promise<void> {
  return async (side) => {
    await fill(side, set);
  };
}

/** From the generator, because h2load drops what is in flight at the end: with slow answers that would be a large part. */
function counting(): Load {
  const request = requestBody(KV.method.range, {
    ...prefixRange(TWO_HUNDRED_THOUSAND.prefix),
    countOnly: true,
  });
  return {
    name: "count-200k",
    title: "count_only over 200,000 keys, 4x4",
    tool: "generator",
    prepare: filled(TWO_HUNDRED_THOUSAND),
    measure: (side, seconds) =>
      measureGenerator(
        side,
        { connections: 4, streams: 4 },
        { script: () => ({ next: () => request }), seconds },
      ),
  };
}

/** Each slot walks through the whole data set page by page, as a client lists a large prefix, and begins anew at its end. */
function paging(): Load {
  const { prefix } = TWO_HUNDRED_THOUSAND;
  return {
    name: "paging-200k",
    title: `pages of ${PAGE_KEYS} through 200,000 keys, 2x4`,
    tool: "generator",
    prepare: filled(TWO_HUNDRED_THOUSAND),
    measure: (side, seconds) =>
      measureGenerator(side, { connections: 2, streams: 4 }, { script: () => pageScript(prefix), seconds }),
  };
}

function pageScript(prefix: string): Script {
  const { key: first, rangeEnd } = prefixRange(prefix);
  let key: Uint8Array = first;
  return {
    next: () => requestBody(KV.method.range, { key, rangeEnd, limit: BigInt(PAGE_KEYS) }),
    answered: (message) => {
      const { keys, lastKey, more } = readPage(message);
      if (keys !== PAGE_KEYS) throw new Error(`a page of ${keys} keys, and not of ${PAGE_KEYS}`);
      key = more ? Buffer.concat([lastKey, Buffer.of(0)]) : first;
    },
  };
}
