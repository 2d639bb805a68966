import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { LeaseSchema } from "../proto/gen/lease_pb.ts";
import {
  LeaseCheckpointRequestSchema,
  LeaseGrantRequestSchema,
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
  LeaseTimeToLiveRequestSchema,
} from "../proto/gen/rpc_pb.ts";
import {
  encodeCheckpoints,
  encodeGrant,
  encodeId,
  encodeLease,
  encodeLeaseKey,
  idAndTtlBytes,
  LeaseView,
  visitCheckpoints,
  writeIdAndTtl,
} from "./lease-codec.ts";

const IDS = [
  0n,
  1n,
  127n,
  128n,
  0x7fff_ffff_ffff_ffffn,
  0x694d_7de3_0e5d_8d02n,
  -1n,
  -(2n ** 63n),
  2n ** 32n,
];
const SECONDS = [0, 1, 127, 128, 9_000_000_000, -1, -5];
const low = (id: bigint): number => Number(id & 0xffff_ffffn);
const high = (id: bigint): number => Number((id >> 32n) & 0xffff_ffffn);

test("messages are those of the generated code, byte for byte, and are read back", () => {
  const view = new LeaseView();
  for (const id of IDS) {
    for (const seconds of SECONDS) {
      const grant = encodeGrant(seconds, low(id), high(id));
      const message = create(LeaseGrantRequestSchema, { TTL: BigInt(seconds), ID: id });
      deepEqual(grant, toBinary(LeaseGrantRequestSchema, message));
      equal(view.decodeGrant(grant, 0, grant.length), true);
      deepEqual([view.low, view.high, view.seconds], [low(id), high(id), seconds]);

      const lease = encodeLease(low(id), high(id), seconds, 7);
      const record = create(LeaseSchema, { ID: id, TTL: BigInt(seconds), RemainingTTL: 7n });
      deepEqual(lease, toBinary(LeaseSchema, record));
      equal(view.decodeLease(lease), true);
      deepEqual([view.low, view.high, view.seconds, view.second], [low(id), high(id), seconds, 7]);

      const answer = new Uint8Array(idAndTtlBytes(low(id), high(id), seconds));
      equal(writeIdAndTtl(answer, 0, low(id), high(id), seconds), answer.length);
      const response = fromBinary(LeaseKeepAliveResponseSchema, answer);
      deepEqual([response.ID, response.TTL], [id, BigInt(seconds)]);
      equal(view.decodeKeepAlive(answer, 0, answer.length), true);
      deepEqual([view.low, view.high, view.seconds], [low(id), high(id), seconds]);
    }
    deepEqual(
      encodeId(low(id), high(id)),
      toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID: id })),
    );
    const key = Buffer.alloc(8);
    key.writeBigInt64BE(id);
    deepEqual(Buffer.from(encodeLeaseKey(low(id), high(id))), key);
  }
  const question = create(LeaseTimeToLiveRequestSchema, { ID: 5n, keys: true });
  const bytes = toBinary(LeaseTimeToLiveRequestSchema, question);
  equal(view.decodeTimeToLive(bytes, 0, bytes.length), true);
  deepEqual([view.low, view.second], [5, 1]);
});

test("checkpoints of many leases", () => {
  const ids = IDS.filter((id) => id !== 0n);
  const seconds = ids.map((_, index) => index * 1000);
  const bytes = encodeCheckpoints(ids.map(low), ids.map(high), seconds, ids.length);
  const message = create(LeaseCheckpointRequestSchema, {
    checkpoints: ids.map((ID, index) => ({ ID, remainingTTL: BigInt(seconds[index]) })),
  });
  deepEqual(bytes, toBinary(LeaseCheckpointRequestSchema, message));
  const visited: Array<[number, number, number]> = [];
  equal(
    visitCheckpoints(bytes, 0, bytes.length, (...args) => visited.push(args)),
    true,
  );
  deepEqual(
    visited,
    ids.map((id, index) => [low(id), high(id), seconds[index]]),
  );
  equal(
    visitCheckpoints(bytes, 0, bytes.length - 1, () => {}),
    false,
  );
});

test("malformed bytes are refused", () => {
  const view = new LeaseView();
  const bad = Uint8Array.of(0x08, 0xff);
  equal(view.decodeGrant(bad, 0, 2), false);
  equal(view.decodeId(bad, 0, 2), false);
  equal(view.decodeLease(bad), false);
});
