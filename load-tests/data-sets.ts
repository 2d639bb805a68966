/** What the stores are filled with before the loads that read. */
import { KV } from "../src/proto/gen/rpc_pb.ts";
import { generate } from "./generator.ts";
import { fillRequest, keyName, prefixRange, putRequest } from "./requests.ts";
import type { LoadTarget } from "./side.ts";

// Puts a transaction: about 30 kB, under the initial stream window and under --max-txn-ops.
const PUTS_A_TXN = 100;
const FILL_CONNECTIONS = 2;
const FILL_STREAMS = 8;
const WRITE_STREAMS = 100;

/** A range of keys with 256 B values. */
export interface DataSet {
  readonly prefix: string;
  readonly keys: number;
}

export const THOUSAND: DataSet = { prefix: "thousand/", keys: 1000 };
export const TWO_HUNDRED_THOUSAND: DataSet = { prefix: "page/", keys: 200_000 };
export const MILLION: DataSet = { prefix: "million/", keys: 1_000_000 };

/** Loads a data set unless it is there. Returns the seconds it took, 0 if nothing had to be done. */
export async function fill(side: LoadTarget, set: DataSet): Promise<number> {
  if (side.filled.has(set.prefix)) return 0;
  let from = 0;
  const next = () => {
    if (from >= set.keys) return undefined;
    const request = fillRequest(set.prefix, { from, to: Math.min(from + PUTS_A_TXN, set.keys) });
    from += PUTS_A_TXN;
    return request;
  };
  const { seconds } = await generate({
    address: side.address,
    connections: FILL_CONNECTIONS,
    streams: FILL_STREAMS,
    seconds: Infinity,
    script: () => ({ next }),
  });
  const { count } = await side.client.call(KV.method.range, { ...prefixRange(set.prefix), countOnly: true });
  if (Number(count) !== set.keys)
    throw new Error(`${side.name} holds ${count} keys of ${set.prefix} and not ${set.keys}`);
  side.filled.add(set.prefix);
  return seconds;
}

/** So many puts, each a revision of its own, to the keys of a prefix in turns. */
export async function writeRevisions(
  side: Pick<LoadTarget, "address">,
  options: { prefix: string; keys: number; revisions: number },
): Promise<void> {
  const { prefix, keys, revisions } = options;
  let written = 0;
  const next = () => (written < revisions ? putRequest(keyName(prefix, written++ % keys)) : undefined);
  await generate({
    address: side.address,
    connections: FILL_CONNECTIONS,
    streams: WRITE_STREAMS,
    seconds: Infinity,
    script: () => ({ next }),
  });
}
