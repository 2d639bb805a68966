/** The Maintenance service: Status and MoveLeader from what main knows, HashKV from the apply thread, Alarm through the log. */

import { decodeAlarmRequest } from "../apply/apply-alarm.ts";
import { ALARM_NAMES } from "../apply/alarms.ts";
import { ERRORS, ErrorId, GrpcCode } from "../base/errors.ts";
import { SERVER_VERSION } from "../base/version.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { RaftField } from "../proto/raft-request.ts";
import { ReadKind } from "../ring/record-types.ts";
import { responseHeader, type MemberIdentity } from "../proto/response-header.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type ClientSnapshotSource, SnapshotMethod } from "./client-snapshot.ts";
import { type Defragmenter, DefragmentMethod } from "./defragment.ts";
import { DowngradeMethod } from "./downgrade.ts";
import type { CallFailure } from "./internal-call.ts";
import { readMemberRequest } from "./member-request.ts";
import { transferLeadership } from "./leader-transfer.ts";
import { readNumberField, refuseMalformed } from "./number-field.ts";
import { failure } from "./reconfigurer.ts";
import type { Router } from "./router.ts";

export interface MaintenanceOptions extends MemberIdentity {
  /** `--quota-backend-bytes` with its default filled in. */
  readonly quotaBackendBytes: number;
  /** Time that a transfer of leadership has. */
  readonly requestTimeoutMs: number;
  /** Storage version text, empty until the cluster version is decided. */
  readonly storageVersion: () => string;
  readonly snapshots: ClientSnapshotSource;
  readonly defragmenter: Defragmenter;
  readonly log: Logger;
}

const EMPTY = new Uint8Array(0);

abstract class MaintenanceMethod implements MethodHandler {
  readonly path: string;
  readonly kind = "unary";
  protected readonly router: Router;
  protected readonly options: MaintenanceOptions;

  constructor(method: string, router: Router, options: MaintenanceOptions) {
    this.path = `/etcdserverpb.Maintenance/${method}`;
    this.router = router;
    this.options = options;
  }

  abstract onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void;

  onCancel(call: Call): void {
    this.router.cancel(call);
  }
}

class StatusMethod extends MaintenanceMethod {
  override onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    if (readNumberField(call, bytes, start, end) === null || !this.router.admits(call, true)) return;
    this.router.refreshStatus();
    const status = this.router.status;
    const builder = new MessageBuilder()
      .message(1, responseHeader(this.options, status.revision, status.term))
      .string(2, SERVER_VERSION)
      .number(3, status.dbBytes)
      .uint64(4, status.leaderId)
      .number(5, status.commitIndex)
      .number(6, status.term)
      .number(7, status.appliedIndex);
    if (status.leaderId === 0n) builder.string(8, ERRORS[ErrorId.noLeader].message);
    for (const { memberId, type } of status.alarms) {
      builder.string(8, `memberID:${memberId} alarm:${ALARM_NAMES[type] ?? type} `);
    }
    const message = builder
      .number(9, status.dbInUseBytes)
      .bool(10, status.isLearner)
      .string(11, this.options.storageVersion())
      .number(12, this.options.quotaBackendBytes)
      .message(13, downgradeInfo(status.downgradeTarget))
      .finish();
    call.sendMessage(message, 0, message.length);
    call.end(GrpcCode.ok, "");
  }
}

/** DowngradeInfo {1 enabled, 2 targetVersion} */
function downgradeInfo(target: string): MessageBuilder {
  return new MessageBuilder().bool(1, target !== "").string(2, target);
}

class HashKvMethod extends MaintenanceMethod {
  override onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    if (readNumberField(call, bytes, start, end) === null) return;
    this.router.read(call, ReadKind.hashKv, false, bytes, start, end);
  }
}

class HashMethod extends MaintenanceMethod {
  override onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    if (readNumberField(call, bytes, start, end) === null || !this.router.admits(call, false)) return;
    // What this member has applied is to be in it, as with etcd.
    this.router
      .request((own) => this.router.read(own, ReadKind.commit, false, EMPTY, 0, 0))
      .then(
        () => {
          if (!call.cancelled) this.router.read(call, ReadKind.hash, false, EMPTY, 0, 0);
        },
        (error: unknown) => this.router.end(call, error as CallFailure),
      );
  }
}

class MoveLeaderMethod extends MaintenanceMethod {
  override onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    // MoveLeaderRequest {1 targetID}.
    const request = readMemberRequest(call, bytes, start, end);
    if (request === null || !this.router.admits(call, false)) return;
    const { status } = this.router;
    const target = status.member(request.number(1));
    if (!status.isLeader) this.router.end(call, failure(ErrorId.notLeader));
    else if (target === undefined || target.isLearner)
      this.router.end(call, failure(ErrorId.badLeaderTransferee));
    else this.#move(call, target.id).catch((error: unknown) => this.router.end(call, error as CallFailure));
  }

  async #move(call: Call, target: bigint): Promise<void> {
    const moved = await transferLeadership(this.router, target, this.options.requestTimeoutMs);
    if (!moved) throw failure(ErrorId.leaderTransferTimeout);
    // Without a header, as etcd's.
    if (!call.cancelled) call.sendMessage(EMPTY, 0, 0);
    this.router.end(call, failure(ErrorId.none));
  }
}

/** Every action goes through the log, listing included. */
class AlarmMethod extends MaintenanceMethod {
  override onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    if (decodeAlarmRequest(bytes, start, end) === null) refuseMalformed(call);
    else this.router.propose(call, RaftField.alarm, bytes, start, end);
  }
}

/** Handlers of `etcdserverpb.Maintenance` that are served. */
export function maintenanceMethods(router: Router, options: MaintenanceOptions): MethodHandler[] {
  return [
    new StatusMethod("Status", router, options),
    new HashMethod("Hash", router, options),
    new HashKvMethod("HashKV", router, options),
    new AlarmMethod("Alarm", router, options),
    new MoveLeaderMethod("MoveLeader", router, options),
    new DefragmentMethod({ router, ...options }),
    new DowngradeMethod({ router, identity: options, log: options.log }),
    new SnapshotMethod({ router, source: options.snapshots, ...options }),
  ];
}
