/** Leases at the leader, over its peer listener: etcd's `/leases` and `/leases/internal`, and `/leases/many`, which is ours. */

import { encodeCheckpoints, visitCheckpoints } from "../lease/lease-codec.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { WIRE_BYTES, WireReader } from "../proto/wire.ts";
import { callPeer, PeerCallError, type PeerCallOptions } from "./peer-client.ts";

export { PeerCallError } from "./peer-client.ts";

const PROTOBUF = { "Content-Type": "application/protobuf" };
const TAG_ID = (2 << 3) | 0;
const TAG_TTL = (3 << 3) | 0;
const TAG_FIELD_1_BYTES = (1 << 3) | WIRE_BYTES;

/**
 * Renews the lease of a LeaseKeepAliveRequest; resolves with its TTL in seconds. {@link PeerCallError} 404 = no such lease, 408 = the
 * leader has not applied what is committed, 400 = it is no leader.
 */
export async function postLeaseKeepAlive(
  url: string,
  request: Uint8Array,
  options: PeerCallOptions,
): Promise<number> {
  const body = await post(url, "/leases", request, options);
  const reader = new WireReader();
  let [seconds, hasId] = [0, false];
  reader.reset(body, 0, body.length);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === TAG_TTL) seconds = reader.int64();
    else reader.skip(tag);
    if (tag === TAG_ID) hasId = true;
  }
  if (reader.failed || !hasId) throw new Error(`unexpected answer of ${url}/leases`);
  return seconds;
}

/** A lease's id, int64 in two unsigned halves. */
export interface LeaseIdHalves {
  readonly low: number;
  readonly high: number;
}

/**
 * Renews many leases at once; only members of this program know it. Resolves with a TTL in seconds for each: 0 = no such lease, below 0 =
 * that one is to be asked for alone. {@link PeerCallError} 404 = the peer does not know this, 400 = it is no leader.
 */
export async function postLeaseKeepAlives(
  url: string,
  ids: readonly LeaseIdHalves[],
  options: PeerCallOptions,
): Promise<number[]> {
  const lows = ids.map(({ low }) => low);
  const highs = ids.map(({ high }) => high);
  const request = encodeCheckpoints(lows, highs, new Uint8Array(ids.length), ids.length);
  const body = await post(url, "/leases/many", request, options);
  const seconds: number[] = [];
  let isInOrder = true;
  const isWhole = visitCheckpoints(body, 0, body.length, (low, high, ttl) => {
    isInOrder &&= low === lows[seconds.length] && high === highs[seconds.length];
    seconds.push(ttl);
  });
  if (!isWhole || !isInOrder || seconds.length !== ids.length)
    throw new Error(`unexpected answer of ${url}/leases/many`);
  return seconds;
}

/**
 * Asks for a LeaseTimeToLiveRequest's lease; resolves with a LeaseTimeToLiveResponse without header. {@link PeerCallError} 404 = no such
 * lease, 408 and 500 = another attempt may do better.
 */
export async function postLeaseTimeToLive(
  url: string,
  request: Uint8Array,
  options: PeerCallOptions,
): Promise<Uint8Array> {
  const body = await post(url, "/leases/internal", new MessageBuilder().bytes(1, request).finish(), options);
  const inner = unwrap(body);
  if (inner === null) throw new Error(`unexpected answer of ${url}/leases/internal`);
  return withoutHeader(inner);
}

async function post(
  url: string,
  path: string,
  body: Uint8Array,
  options: PeerCallOptions,
): Promise<Uint8Array> {
  const response = await callPeer(url, { method: "POST", path, body, headers: PROTOBUF }, options);
  if (response.status === 200) return response.body;
  const text = new TextDecoder().decode(response.body).replace(/\n$/, "");
  throw new PeerCallError(response.status, text);
}

/** Field 1 of a message that holds nothing else; null when the bytes are malformed or have none. */
export function unwrap(bytes: Uint8Array): Uint8Array | null {
  const reader = new WireReader();
  let inner: Uint8Array | null = null;
  reader.reset(bytes, 0, bytes.length);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== TAG_FIELD_1_BYTES) {
      reader.skip(tag);
      continue;
    }
    const length = reader.length();
    inner = bytes.subarray(reader.position, reader.position + length);
    reader.position += length;
  }
  return reader.failed ? null : inner;
}

/** A response whose first field is its header, as Go writes it, without the header. */
function withoutHeader(bytes: Uint8Array): Uint8Array {
  const reader = new WireReader();
  reader.reset(bytes, 0, bytes.length);
  if (reader.tag() !== TAG_FIELD_1_BYTES) return bytes;
  const length = reader.length();
  return bytes.subarray(reader.position + length);
}
