/** Decoders of the log's membership requests: attributes and cluster version, as InternalRaftRequest and as etcd 3.5 wrote them. */

import { WireReader } from "../proto/wire.ts";

/** What a member tells of itself once it runs. */
export interface MemberAttributes {
  readonly id: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
}

/** A v2 request that is one of the two kinds that may still be in a log. */
export type V2Membership =
  | { readonly kind: "attributes"; readonly attributes: MemberAttributes }
  | { readonly kind: "version"; readonly version: string };

const TAG_VARINT_1 = 0x08;
const TAG_BYTES_1 = 0x0a;
const TAG_BYTES_2 = 0x12;
const TAG_BYTES_3 = 0x1a;
const TAG_BYTES_4 = 0x22;

/** `/0/members/<hex id>/attributes` */
const V2_ATTRIBUTES_PATH = /^\/0\/members\/([0-9a-f]{1,16})\/attributes$/;
const V2_VERSION_PATH = "/0/version";

/** ClusterMemberAttrSetRequest {1 member_ID, 2 attributes {1 name, 2 client_urls}}; null when malformed. */
export function decodeMemberAttributes(
  bytes: Uint8Array,
  start: number,
  end: number,
): MemberAttributes | null {
  const reader = new WireReader();
  let id = 0n;
  let name = "";
  const clientUrls: string[] = [];
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === TAG_VARINT_1) {
      reader.varint();
      id = (BigInt(reader.high) << 32n) | BigInt(reader.low);
    } else if (tag === TAG_BYTES_2) {
      const behind = reader.length() + reader.position;
      while (reader.position < behind && !reader.failed) {
        const inner = reader.tag();
        if (inner === TAG_BYTES_1) name = readText(reader);
        else if (inner === TAG_BYTES_2) clientUrls.push(readText(reader));
        else reader.skip(inner);
      }
    } else reader.skip(tag);
  }
  return reader.failed ? null : { id, name, clientUrls };
}

/** ClusterVersionSetRequest {1 ver}; null when malformed. */
export function decodeClusterVersion(bytes: Uint8Array, start: number, end: number): string | null {
  const reader = new WireReader();
  let version = "";
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === TAG_BYTES_1) version = readText(reader);
    else reader.skip(tag);
  }
  return reader.failed ? null : version;
}

/** The target of DowngradeInfoSetRequest {1 enabled, 2 ver}, empty unless enabled; null when malformed. */
export function decodeDowngradeTarget(bytes: Uint8Array, start: number, end: number): string | null {
  const reader = new WireReader();
  let enabled = false;
  let version = "";
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === TAG_VARINT_1) enabled = reader.bool();
    else if (tag === TAG_BYTES_2) version = readText(reader);
    else reader.skip(tag);
  }
  if (reader.failed) return null;
  return enabled ? version : "";
}

/** v2 Request {2 Method, 3 Path, 4 Val}; null for anything but a PUT of a member's attributes or of the version. */
export function decodeV2Membership(bytes: Uint8Array, start: number, end: number): V2Membership | null {
  const reader = new WireReader();
  let method = "";
  let path = "";
  let value = "";
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === TAG_BYTES_2) method = readText(reader);
    else if (tag === TAG_BYTES_3) path = readText(reader);
    else if (tag === TAG_BYTES_4) value = readText(reader);
    else reader.skip(tag);
  }
  if (reader.failed || method !== "PUT") return null;
  if (path === V2_VERSION_PATH) return { kind: "version", version: value };
  const id = V2_ATTRIBUTES_PATH.exec(path)?.[1];
  if (id === undefined) return null;
  const raw = JSON.parse(value) as { name?: string; clientURLs?: readonly string[] | null };
  const attributes = { id: BigInt(`0x${id}`), name: raw.name ?? "", clientUrls: raw.clientURLs ?? [] };
  return { kind: "attributes", attributes };
}

function readText(reader: WireReader): string {
  const length = reader.length();
  const from = reader.position;
  reader.advance(length);
  return new TextDecoder().decode(new Uint8Array(reader.bytes.subarray(from, from + length)));
}
