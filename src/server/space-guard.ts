/**
 * The quota as main sees it: what does not fit any more is refused before it is proposed, and the member's NOSPACE alarm is
 * raised through raft; so it is when apply has seen an entry that did not fit. Once there is room again the member takes its alarm
 * back, unless the operator wants to do that himself (`--quota-auto-disarm=false`), as with etcd.
 *
 * ```
 *   room ──a request does not fit──▶ NOSPACE ──the largest that was refused fits, and 5 % of the quota──▶ room
 * ```
 *
 * What was refused would be sent again: without room for it the alarm would come and go as often. So a request as large as
 * the whole quota leaves an alarm that only the operator can take back.
 */

import { AlarmAction, encodeAlarmRequest } from "../apply/apply-alarm.ts";
import { type AlarmMember, AlarmType } from "../apply/alarms.ts";
import { costBound, requestCost } from "../apply/request-cost.ts";
import { ErrorId } from "../base/errors.ts";
import type { Call } from "../grpc/service.ts";
import { RaftField } from "../proto/raft-request.ts";
import type { Logger } from "../telemetry/logger.ts";
import { failure } from "./reconfigurer.ts";
import type { Router } from "./router.ts";

/**
 * This part of the quota must stay free beside what was refused: with less between raising and taking back, a member at its limit
 * would write both into the log all the time.
 */
const DISARM_MARGIN = 0.05;
/** Pause after an alarm request that failed. */
const RETRY_MS = 1000;

export interface SpaceGuardOptions {
  readonly router: Router;
  /** `--quota-backend-bytes` with its default filled in; negative = none. */
  readonly quotaBytes: number;
  /** `--quota-auto-disarm` */
  readonly autoDisarm: boolean;
  readonly log: Logger;
}

export class SpaceGuard {
  readonly #options: SpaceGuardOptions;
  readonly #quotaBytes: number;
  /** The alarm that is being raised. */
  #raising: Promise<void> | null = null;
  #disarming = false;
  /** This member's alarm is there because there was no room, and not because somebody has set it by hand. */
  #isOwn = true;
  #exceededSeen = 0;
  /** Cost of the largest request that had no room since this member's alarm was last away. */
  #refusedBytes = 0;

  constructor(options: SpaceGuardOptions) {
    this.#options = options;
    this.#quotaBytes = options.quotaBytes > 0 ? options.quotaBytes : Infinity;
    options.router.status.spaceListeners.add(this.#onStatus);
    this.#onStatus();
  }

  stop(): void {
    this.#options.router.status.spaceListeners.delete(this.#onStatus);
  }

  /** Whether the request `bytes[start, end)` for raft field `field` may go on. If not, its call ends once the alarm is raised. */
  admits(call: Call, field: number, bytes: Uint8Array, start: number, end: number): boolean {
    const { router } = this.#options;
    const freeBytes = this.#quotaBytes - router.status.dbInUseBytes;
    if (costBound(end - start) < freeBytes) return true;
    const cost = requestCost(field, bytes, start, end);
    if (cost === 0 || cost < freeBytes) return true;
    // The alarm is not for requests that this member would not take anyway.
    if (!router.admits(call, false)) return false;
    this.#refusedBytes = Math.max(this.#refusedBytes, cost);
    // The alarm is listed when the client hears of it, unless it cannot be raised.
    void this.#raise().finally(() => router.end(call, failure(ErrorId.noSpace)));
    return false;
  }

  get #ownAlarm(): AlarmMember | undefined {
    const { alarms, memberId } = this.#options.router.status;
    return alarms.find((alarm) => alarm.memberId === memberId && alarm.type === AlarmType.noSpace);
  }

  readonly #onStatus = (): void => {
    const { status } = this.#options.router;
    if (status.spaceExceeded !== this.#exceededSeen) {
      this.#exceededSeen = status.spaceExceeded;
      this.#refusedBytes = Math.max(this.#refusedBytes, status.spaceExceededBytes);
      void this.#raise();
    }
    if (status.appliedIndex > 0 && this.#ownAlarm === undefined && this.#raising === null) {
      this.#isOwn = false;
      this.#refusedBytes = 0;
    }
    this.#disarmIfRoom();
  };

  /** Raises the alarm, if it is not there; resolves when it is applied, or has failed. */
  #raise(): Promise<void> {
    if (this.#ownAlarm !== undefined) return Promise.resolve();
    return (this.#raising ??= this.#proposeRaise().finally(() => (this.#raising = null)));
  }

  async #proposeRaise(): Promise<void> {
    const { log, router } = this.#options;
    const { dbBytes, dbInUseBytes } = router.status;
    log.warn("message exceeded backend quota; raising alarm", {
      "quota-size-bytes": this.#quotaBytes,
      "db-size-in-use-bytes": dbInUseBytes,
      "db-size-bytes": dbBytes,
    });
    this.#isOwn = true;
    try {
      await this.#propose(AlarmAction.activate);
    } catch (error) {
      log.warn("failed to raise alarm", { alarm: "NOSPACE", error });
    }
  }

  #disarmIfRoom(): void {
    const { autoDisarm, log, router } = this.#options;
    const { dbInUseBytes } = router.status;
    if (!autoDisarm || this.#disarming || !this.#isOwn || this.#ownAlarm === undefined) return;
    // Nothing has been measured yet.
    if (dbInUseBytes === 0 || dbInUseBytes + this.#refusedBytes > this.#quotaBytes * (1 - DISARM_MARGIN))
      return;
    this.#disarming = true;
    log.info("there is room again; disarming alarm", {
      alarm: "NOSPACE",
      "quota-size-bytes": this.#quotaBytes === Infinity ? -1 : this.#quotaBytes,
      "db-size-in-use-bytes": dbInUseBytes,
    });
    this.#propose(AlarmAction.deactivate).then(
      () => {
        this.#disarming = false;
      },
      (error: unknown) => {
        log.warn("failed to disarm alarm", { alarm: "NOSPACE", error });
        setTimeout(() => (this.#disarming = false), RETRY_MS).unref();
      },
    );
  }

  async #propose(action: number): Promise<void> {
    const { router } = this.#options;
    const payload = encodeAlarmRequest({ action, memberId: router.status.memberId, type: AlarmType.noSpace });
    await router.request((call) => router.propose(call, RaftField.alarm, payload, 0, payload.length));
  }
}

/** Longest quota that etcd has been tried with. */
const QUOTA_BYTES_RECOMMENDED_MAX = 8 * 1024 * 1024 * 1024;

/** Says at start what the quota is. @param flagBytes `--quota-backend-bytes` as given */
export function logQuota(log: Logger, flagBytes: number, quotaBytes: number): void {
  const fields = { "quota-name": "v3-applier", "quota-size-bytes": quotaBytes };
  if (flagBytes < 0) log.info("disabled backend quota", fields);
  else if (flagBytes === 0) log.info("enabled backend quota with default value", fields);
  else {
    if (flagBytes > QUOTA_BYTES_RECOMMENDED_MAX) {
      log.warn("quota exceeds the maximum value", {
        ...fields,
        "quota-maximum-size-bytes": QUOTA_BYTES_RECOMMENDED_MAX,
      });
    }
    log.info("enabled backend quota", fields);
  }
}

/** Lets everything pass: for what is served without a quota. */
export const NO_SPACE_GUARD: Pick<SpaceGuard, "admits"> = { admits: () => true };
