/** When a failed call may be tried again, and after what pause: the rules of etcd's own client. */
import type { DescMethod } from "@bufbuild/protobuf";
import { ERRORS, ErrorId, GrpcCode } from "../base/errors.ts";
import { Auth, Cluster, KV, Lease, Maintenance } from "../proto/gen/rpc_pb.ts";
import type { EtcdError } from "./etcd-error.ts";

/** Attempts of one call. With the pause below this is about three seconds of trying against one endpoint. */
export const ATTEMPTS_MAX = 100;

/** Pause once a quorum of the endpoints has been tried. */
const BACKOFF_MS = 25;
/** The pause varies by this part of it, so that many clients do not come back at once. */
const BACKOFF_JITTER = 0.1;

/** Methods that change nothing, or that do no harm if they are done twice. Everything else is sent once. */
const REPEATABLE: ReadonlySet<DescMethod> = new Set<DescMethod>([
  KV.method.range,
  Lease.method.leaseGrant,
  Lease.method.leaseRevoke,
  Lease.method.leaseTimeToLive,
  Lease.method.leaseLeases,
  Cluster.method.memberList,
  Maintenance.method.alarm,
  Maintenance.method.status,
  Maintenance.method.hash,
  Maintenance.method.hashKV,
  Maintenance.method.moveLeader,
  Auth.method.userGet,
  Auth.method.userList,
  Auth.method.roleGet,
  Auth.method.roleList,
]);

const LEARNER_TEXT = ERRORS[ErrorId.notSupportedForLearner].message;
const TOKEN_TEXTS: ReadonlySet<string> = new Set([
  ERRORS[ErrorId.invalidAuthToken].message,
  ERRORS[ErrorId.authOldRevision].message,
  ERRORS[ErrorId.userEmpty].message,
]);

/** Whether the same call may be sent again. A learner refuses what a voter among the other endpoints would answer. */
export function isRetryable(method: DescMethod, error: EtcdError, endpointCount: number): boolean {
  if (error.message === LEARNER_TEXT && endpointCount > 1) return true;
  return error.code === GrpcCode.unavailable && REPEATABLE.has(method);
}

/** Whether a new login may help. */
export function isTokenRefused(error: EtcdError): boolean {
  return TOKEN_TEXTS.has(error.message);
}

/** Pause before an attempt (from 0) in ms: none until a quorum of the endpoints has failed. */
export function backoffMs(attempt: number, endpointCount: number): number {
  const quorum = Math.floor(endpointCount / 2) + 1;
  if (attempt === 0 || attempt % quorum !== 0) return 0;
  return BACKOFF_MS * (1 + BACKOFF_JITTER * (Math.random() * 2 - 1));
}
