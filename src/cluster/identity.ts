/**
 * How etcd computes the ids of members and clusters (interop: identity and bootstrap). Pure: SHA-1 is an argument.
 */

/** SHA-1 of some bytes: 20 bytes. */
export type Sha1 = (bytes: Uint8Array) => Uint8Array;

function firstEightBytes(digest: Uint8Array): bigint {
  return new DataView(digest.buffer, digest.byteOffset, 8).getBigUint64(0);
}

/**
 * Id of a member: SHA-1 over its peer URLs, sorted and joined without a separator, then the cluster token.
 * @param suffix decimal Unix seconds for a member added at run time, else empty
 */
export function memberId(peerUrls: readonly string[], token: string, suffix: string, sha1: Sha1): bigint {
  const text = [...peerUrls].sort().join("") + token + suffix;
  return firstEightBytes(sha1(new TextEncoder().encode(text)));
}

/** Id of a cluster: SHA-1 over its initial members' ids, 8 bytes big-endian each, ascending. */
export function clusterId(memberIds: readonly bigint[], sha1: Sha1): bigint {
  const ids = [...memberIds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const bytes = new Uint8Array(ids.length * 8);
  const view = new DataView(bytes.buffer);
  ids.forEach((id, i) => view.setBigUint64(i * 8, id));
  return firstEightBytes(sha1(bytes));
}

/** Text form of an id: lower-case hex without padding. */
export function formatId(id: bigint): string {
  return id.toString(16);
}
