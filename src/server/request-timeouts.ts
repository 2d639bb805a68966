/** What waits longer than the time-out ends here, with etcd's reason: raft is asked whether a connection was lost meanwhile. */

import type { GroupReport } from "../cluster/reconfig.ts";
import type { Call } from "../grpc/service.ts";
import type { MemberStatus } from "./member-status.ts";
import type { PendingRequests } from "./pending-requests.ts";
import { timeoutCause } from "./timeout-cause.ts";

/** How long requests that have timed out wait for raft to say why. */
const REPORT_WAIT_MS = 500;

export interface RequestTimeoutsOptions {
  readonly pending: PendingRequests;
  readonly status: MemberStatus;
  readonly requestTimeoutMs: number;
  readonly electionTimeoutMs: number;
  /** Rejects when raft says nothing in time. */
  readonly raftReport: (timeoutMs: number) => Promise<GroupReport>;
  /** A request has left the pending ones; its call has not ended yet. */
  readonly onRemoved: (id: number) => void;
  /** Ends calls that have left, each with an ErrorId. */
  readonly end: (calls: readonly RefusedCall[]) => void;
}

/** A call and the ErrorId that it ends with. */
export interface RefusedCall {
  readonly call: Call;
  readonly errorId: number;
}

/** A call that has waited too long. */
interface LateCall {
  readonly call: Call;
  readonly startedMs: number;
}

export class RequestTimeouts {
  readonly #options: RequestTimeoutsOptions;

  constructor(options: RequestTimeoutsOptions) {
    this.#options = options;
  }

  /** Takes out what has waited too long at `nowMs`; its calls end now, or once raft has said why. */
  sweep(nowMs: number): void {
    const { status, requestTimeoutMs, raftReport } = this.#options;
    const late = this.#remove(nowMs - requestTimeoutMs);
    if (late.length === 0) return;
    // Raft can tell whether a connection was lost; in a cluster of one there is none.
    if (status.members.length < 2 || status.leaderId === 0n) return this.#end(late, null);
    raftReport(REPORT_WAIT_MS).then(
      (report) => this.#end(late, report),
      () => this.#end(late, null),
    );
  }

  /** Ends everything that waits. */
  endAll(errorId: number): void {
    this.#options.end(this.#remove(Infinity).map(({ call }) => ({ call, errorId })));
  }

  /** Takes out what came in before `startedBeforeMs`. */
  #remove(startedBeforeMs: number): LateCall[] {
    const { pending, status, onRemoved } = this.#options;
    const late: LateCall[] = [];
    pending.expire(startedBeforeMs, (call, id, startedMs) => {
      status.proposalsFailed++;
      onRemoved(id);
      late.push({ call, startedMs });
    });
    return late;
  }

  #end(late: readonly LateCall[], report: GroupReport | null): void {
    const { status, electionTimeoutMs, end } = this.#options;
    const nowMs = performance.now();
    const facts = { status, electionTimeoutMs, report, nowMs, nowUnixMs: Date.now() };
    end(late.map(({ call, startedMs }) => ({ call, errorId: timeoutCause(facts, startedMs) })));
  }
}
