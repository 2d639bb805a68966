/** Names of applied requests, as etcd_server_apply_duration_seconds has them. */
import { APPLY_OPS } from "../base/thread-meters.ts";
import { RaftField } from "../proto/raft-request.ts";

type OpName = (typeof APPLY_OPS)[number];

const NAMES: readonly (readonly [number, OpName])[] = [
  [RaftField.range, "Range"],
  [RaftField.put, "Put"],
  [RaftField.deleteRange, "DeleteRange"],
  [RaftField.txn, "Txn"],
  [RaftField.compaction, "Compaction"],
  [RaftField.leaseGrant, "LeaseGrant"],
  [RaftField.leaseRevoke, "LeaseRevoke"],
  [RaftField.leaseCheckpoint, "LeaseCheckpoint"],
  [RaftField.alarm, "Alarm"],
  [RaftField.authenticate, "Authenticate"],
  [RaftField.authEnable, "AuthEnable"],
  [RaftField.authDisable, "AuthDisable"],
  [1100, "AuthUserAdd"],
  [1101, "AuthUserDelete"],
  [1102, "AuthUserGet"],
  [1103, "AuthUserChangePassword"],
  [1104, "AuthUserGrantRole"],
  [1105, "AuthUserRevokeRole"],
  [1106, "AuthUserList"],
  [1107, "AuthRoleList"],
  [1200, "AuthRoleAdd"],
  [1201, "AuthRoleDelete"],
  [1202, "AuthRoleGet"],
  [1203, "AuthRoleGrantPermission"],
  [1204, "AuthRoleRevokePermission"],
  [RaftField.clusterVersionSet, "ClusterVersionSet"],
  [RaftField.clusterMemberAttrSet, "ClusterMemberAttrSet"],
  [RaftField.downgradeInfoSet, "DowngradeInfoSet"],
];

/** By field number; 0, "unknown", for all others. */
const OPS = new Uint8Array(1 + Math.max(...NAMES.map(([field]) => field)));
for (const [field, name] of NAMES) OPS[field] = APPLY_OPS.indexOf(name);

/** Position in APPLY_OPS of the request in payload `field`. */
export function applyOp(field: number): number {
  return field < OPS.length ? OPS[field] : 0;
}
