/**
 * The envelope of a proposal: etcdserverpb.InternalRaftRequest, of which exactly one payload field is set besides the header
 * (field 100). The payload stays bytes.
 */
import { copyBytes } from "../base/copy-bytes.ts";
import {
  varint64Bytes,
  varintBytes,
  WIRE_BYTES,
  WIRE_VARINT,
  WireReader,
  writeVarint,
  writeVarint64,
} from "./wire.ts";

/** Field numbers of the payloads. */
export const RaftField = {
  /** A v2 `etcdserverpb.Request`; also how an entry looks that is not an InternalRaftRequest at all. */
  v2: 2,
  range: 3,
  put: 4,
  deleteRange: 5,
  txn: 6,
  compaction: 7,
  leaseGrant: 8,
  leaseRevoke: 9,
  alarm: 10,
  leaseCheckpoint: 11,
  header: 100,
  authEnable: 1000,
  authDisable: 1011,
  authenticate: 1012,
  authStatus: 1013,
  authUserAdd: 1100,
  authRoleRevokePermission: 1204,
  clusterVersionSet: 1300,
  clusterMemberAttrSet: 1301,
  downgradeInfoSet: 1302,
  downgradeVersionTest: 9900,
} as const;

const TAG_ID = (1 << 3) | WIRE_VARINT;
const TAG_HEADER = (RaftField.header << 3) | WIRE_BYTES;
const HEADER_TAG_ID = (1 << 3) | WIRE_VARINT;
const HEADER_TAG_USERNAME = (2 << 3) | WIRE_BYTES;
const HEADER_TAG_AUTH_REVISION = (3 << 3) | WIRE_VARINT;

/** Where the parts of an InternalRaftRequest lie. Make one a thread. */
export class RaftRequestView {
  /** Field number of the payload, 0 = none. */
  field = 0;
  payloadStart = 0;
  payloadEnd = 0;
  /** header.ID (or the old ID, field 1, if that is set), two unsigned halves. */
  idLow = 0;
  idHigh = 0;
  usernameStart = 0;
  usernameEnd = 0;
  authRevision = 0;
  readonly #reader = new WireReader();

  /** False when the bytes are malformed. They may then be a v2 `etcdserverpb.Request` (interop 2.1). */
  decode(bytes: Uint8Array, start: number, end: number): boolean {
    const reader = this.#reader;
    this.field = this.idLow = this.idHigh = this.authRevision = 0;
    this.payloadStart = this.payloadEnd = this.usernameStart = this.usernameEnd = start;
    let oldLow = 0;
    let oldHigh = 0;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === TAG_ID) {
        reader.varint();
        oldLow = reader.low;
        oldHigh = reader.high;
      } else if (tag === TAG_HEADER) {
        const length = reader.length();
        const behind = reader.position + length;
        if (!this.#decodeHeader(behind)) return false;
        reader.end = end;
        reader.position = behind;
      } else if ((tag & 7) === WIRE_BYTES) {
        const length = reader.length();
        this.field = tag >>> 3;
        this.payloadStart = reader.position;
        this.payloadEnd = reader.position += length;
      } else return false;
    }
    if (oldLow !== 0 || oldHigh !== 0) {
      this.idLow = oldLow;
      this.idHigh = oldHigh;
    }
    return !reader.failed;
  }

  /** Decodes [reader.position, end) as RequestHeader. */
  #decodeHeader(end: number): boolean {
    const reader = this.#reader;
    if (reader.failed) return false;
    reader.end = end;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === HEADER_TAG_ID) {
        reader.varint();
        this.idLow = reader.low;
        this.idHigh = reader.high;
      } else if (tag === HEADER_TAG_USERNAME) {
        const length = reader.length();
        this.usernameStart = reader.position;
        this.usernameEnd = reader.position += length;
      } else if (tag === HEADER_TAG_AUTH_REVISION) this.authRevision = reader.int64();
      else if (tag >>> 3 <= 3) return false;
      else reader.skip(tag);
    }
    return !reader.failed;
  }
}

/** Bytes of an InternalRaftRequest with a payload of `payloadBytes` and a header that holds the id alone. */
export function raftRequestBytes(field: number, payloadBytes: number, idLow: number, idHigh: number): number {
  const payload = varintBytes(field * 8) + varintBytes(payloadBytes) + payloadBytes;
  // Tag (2 bytes) and length (1 byte) of the header, tag of the id.
  return payload + 3 + 1 + varint64Bytes(idLow, idHigh);
}

/**
 * Writes an InternalRaftRequest around the payload `bytes[start, end)` at `offset`; returns the offset behind it.
 * Fields are written in ascending order, as Go does: the header stands behind payloads below 100 and before those above.
 */
export function writeRaftRequest(
  target: Uint8Array,
  offset: number,
  field: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  idLow: number,
  idHigh: number,
): number {
  if (field > RaftField.header) offset = writeHeader(target, offset, idLow, idHigh);
  offset = writeVarint(target, offset, field * 8 + WIRE_BYTES);
  offset = writeVarint(target, offset, end - start);
  copyBytes(bytes, start, end, target, offset);
  offset += end - start;
  return field > RaftField.header ? offset : writeHeader(target, offset, idLow, idHigh);
}

function writeHeader(target: Uint8Array, offset: number, idLow: number, idHigh: number): number {
  offset = writeVarint(target, offset, TAG_HEADER);
  target[offset++] = 1 + varint64Bytes(idLow, idHigh);
  target[offset++] = HEADER_TAG_ID;
  return writeVarint64(target, offset, idLow, idHigh);
}

/**
 * True when an entry that is no InternalRaftRequest, or seems to hold its field 2, is a v2 Request: etcd 3.5 and older write
 * them for member attributes and the cluster version. Its field 2 is the method `PUT`, its field 3 a path under `/0/`.
 */
export function isV2Request(bytes: Uint8Array, start: number, end: number): boolean {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  let method = false;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== ((2 << 3) | WIRE_BYTES) && tag !== ((3 << 3) | WIRE_BYTES)) {
      reader.skip(tag);
      continue;
    }
    const length = reader.length();
    const text = String.fromCharCode(
      ...bytes.subarray(reader.position, reader.position + Math.min(length, 3)),
    );
    if (tag >>> 3 === 2) method = length === 3 && text === "PUT";
    else return method && text === "/0/";
    reader.position += length;
  }
  return false;
}
