/** Very many leases, each with a key, that expire within the same second while others write. */
import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { KV, RequestOpSchema } from "../src/proto/gen/rpc_pb.ts";
import { besidePuts, putsFor } from "./beside.ts";
import { milliseconds, type Figure } from "./figure.ts";
import type { Extent, FigureLoad } from "./figures.ts";
import { generate } from "./generator.ts";
import { countLeases, grantLeases } from "./lease-loads.ts";
import { keyName, prefixRange, requestBody, type RequestBody } from "./requests.ts";
import type { Side } from "./side.ts";

const LEASES = 100_000;
const FIRST_ID = 1_000_000;
const PREFIX = "storm/";
// Time for the grants and the keys; a slower machine must use a smaller --scale.
const SECONDS_TO_START = 6;
const LEASES_A_SECOND = 3000;
const PUTS_A_TXN = 100;
const ALONE_SECONDS = 3;
// The writers begin this long before the first lease may expire.
const BEFORE_MS = 500;
const POLL_MS = 250;
// An etcd revokes about 1,000 leases a second.
const GONE_SECONDS_MAX = 600;

export const LEASE_STORM: FigureLoad = { name: "lease-expiry-storm", measure: measureStorm };

async function measureStorm(side: Side, extent: Extent): Promise<Figure[]> {
  const count = extent.scaled(LEASES);
  await side.start();
  const alone = await putsFor(side, ALONE_SECONDS);
  // All leases expire in the second after this moment: their TTLs are whole seconds, rounded up.
  const expiryAt = performance.now() + (SECONDS_TO_START + Math.ceil(count / LEASES_A_SECOND)) * 1000;
  await grantLeases(side, { first: FIRST_ID, count }, () => Math.ceil((expiryAt - performance.now()) / 1000));
  await attachKeys(side, count);
  const left = expiryAt - performance.now() - BEFORE_MS;
  if (left < 0)
    throw new Error(`${side.name} was not ready before its leases expired: use a smaller --scale`);
  await delay(left);
  const { result: goneMs, puts } = await besidePuts(side, () => untilGone(side, count, expiryAt));
  if ((await countLeases(side)) !== 0) throw new Error(`${side.name} has leases left`);
  const title = `${count} leases with a key each expire in one second`;
  return [
    milliseconds(`${title}: until all are gone`, goneMs),
    milliseconds("Put 99.9 % alone, 1x10", alone.p999),
    milliseconds("Put 99.9 % during the expiry", puts.p999),
    milliseconds("Put, longest during the expiry", puts.max),
  ];
}

async function attachKeys(side: Side, count: number): Promise<void> {
  let from = 0;
  const next = (): RequestBody | undefined => {
    if (from >= count) return undefined;
    const success = Array.from({ length: Math.min(PUTS_A_TXN, count - from) }, (_, i) => putOp(from + i));
    from += PUTS_A_TXN;
    return requestBody(KV.method.txn, { success });
  };
  await generate({
    address: side.address,
    connections: 2,
    streams: 4,
    seconds: Infinity,
    script: () => ({ next }),
  });
}

function putOp(index: number) {
  const value = { key: keyName(PREFIX, index), value: Buffer.from("v"), lease: BigInt(FIRST_ID + index) };
  return create(RequestOpSchema, { request: { case: "requestPut", value: value as never } });
}

/** Milliseconds from the first expiry until no key is left. None may be gone before it. */
async function untilGone(side: Side, count: number, expiryAt: number): Promise<number> {
  const keysLeft = async (): Promise<number> => {
    const answer = await side.client.call(KV.method.range, { ...prefixRange(PREFIX), countOnly: true });
    return Number(answer.count);
  };
  const atFirst = await keysLeft();
  if (performance.now() < expiryAt && atFirst !== count)
    throw new Error(`${side.name} holds ${atFirst} of ${count} keys before any lease may expire`);
  for (;;) {
    if ((await keysLeft()) === 0) return performance.now() - expiryAt;
    if (performance.now() > expiryAt + GONE_SECONDS_MAX * 1000)
      throw new Error(`${side.name} has not revoked its leases in ${GONE_SECONDS_MAX} s`);
    await delay(POLL_MS);
  }
}
