/**
 * The random operations of the differential test on leases. Their ids are the test's own, out of a few, so that they collide with
 * each other and with the leases that puts and comparisons name. No lease expires during a run: two members do not expire it at
 * the same moment.
 */
import { create } from "@bufbuild/protobuf";
import type { Prng } from "../../src/base/prng.ts";
import {
  LeaseGrantRequestSchema,
  LeaseKeepAliveRequestSchema,
  LeaseLeasesRequestSchema,
  LeaseRevokeRequestSchema,
  LeaseTimeToLiveRequestSchema,
  type LeaseGrantRequest,
  type LeaseKeepAliveRequest,
  type LeaseLeasesRequest,
  type LeaseRevokeRequest,
  type LeaseTimeToLiveRequest,
} from "../../src/proto/gen/rpc_pb.ts";

/** One call of the Lease service; a keep-alive is one request and one response on a call of its own. */
export type LeaseOperation =
  | { readonly method: "LeaseGrant"; readonly request: LeaseGrantRequest }
  | { readonly method: "LeaseRevoke"; readonly request: LeaseRevokeRequest }
  | { readonly method: "LeaseTimeToLive"; readonly request: LeaseTimeToLiveRequest }
  | { readonly method: "LeaseLeases"; readonly request: LeaseLeasesRequest }
  | { readonly method: "LeaseKeepAlive"; readonly request: LeaseKeepAliveRequest };

// The ends of the range, and some in between that are likely to be granted when a put names them.
const LEASES = [1n, 2n, 3n, 4n, 5n, 6n, 7n, 1n << 40n, (1n << 63n) - 1n, -1n, -(1n << 63n)];
// The longest that etcd grants, and one more.
const TTL_SECONDS_MAX = 9_000_000_000n;
const TTLS = [5_000n, 5_001n, 100_000n, 2n ** 31n, 2n ** 32n + 1n, TTL_SECONDS_MAX];

/** The id of a lease that may or may not be granted. */
export function drawLease(prng: Prng): bigint {
  return prng.pick(LEASES);
}

/** Any call on leases; a member that starts empty has most of the ids granted after some dozens. */
export function drawLeaseOperation(prng: Prng): LeaseOperation {
  const ID = drawLease(prng);
  const dice = prng.below(100);
  if (dice < 45) {
    const TTL = prng.chance(0.1) ? prng.pick([TTL_SECONDS_MAX + 1n, 2n ** 62n]) : prng.pick(TTLS);
    return { method: "LeaseGrant", request: create(LeaseGrantRequestSchema, { ID, TTL }) };
  }
  // 0 is no lease; to grant, it would ask the member to choose.
  const orNone = prng.chance(0.03) ? 0n : ID;
  if (dice < 60) return { method: "LeaseRevoke", request: create(LeaseRevokeRequestSchema, { ID: orNone }) };
  if (dice < 75)
    return { method: "LeaseKeepAlive", request: create(LeaseKeepAliveRequestSchema, { ID: orNone }) };
  if (dice < 80) return { method: "LeaseLeases", request: create(LeaseLeasesRequestSchema) };
  const request = create(LeaseTimeToLiveRequestSchema, { ID: orNone, keys: prng.chance(0.8) });
  return { method: "LeaseTimeToLive", request };
}
