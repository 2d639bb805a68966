/**
 * The KV service: a glance at the request's bytes, then into a ring. It decodes nothing but what its checks need, and it
 * holds no state; answers come back through the router.
 */

import { ERRORS, ErrorId } from "../base/errors.ts";
import {
  checkCompaction,
  checkDeleteRange,
  checkPut,
  checkRange,
  hasEmptyDeleteRangeEnd,
  isSerializableRange,
} from "../apply/validate-kv.ts";
import { TxnRoute, checkedTxnHasEmptyEnds, checkTxn, routeOfCheckedTxn } from "../apply/validate-txn.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import { RaftField } from "../proto/raft-request.ts";
import { stripDeleteRange, stripTxn } from "../proto/strip-range-end.ts";
import { ReadKind } from "../ring/record-types.ts";
import { RangeStreamMethod } from "./range-stream.ts";
import type { Router } from "./router.ts";
import { NO_SPACE_GUARD, type SpaceGuard } from "./space-guard.ts";

export interface KvOptions {
  /** `--max-txn-ops` */
  readonly txnOpsMax: number;
  /** The quota; without, there is none. */
  readonly space?: Pick<SpaceGuard, "admits">;
}

/** Handlers of `etcdserverpb.KV`. */
export function kvMethods(router: Router, options: KvOptions): MethodHandler[] {
  const space = options.space ?? NO_SPACE_GUARD;
  return [
    new KvMethod(router, "Put", (call, bytes, start, end) => {
      if (!space.admits(call, RaftField.put, bytes, start, end)) return;
      if (accept(router, call, checkPut(bytes, start, end)))
        router.propose(call, RaftField.put, bytes, start, end);
    }),
    new KvMethod(router, "Range", (call, bytes, start, end) => {
      const errorId = checkRange(bytes, start, end);
      const isSerializable = isSerializableRange();
      if (accept(router, call, errorId, isSerializable))
        router.read(call, ReadKind.range, !isSerializable, bytes, start, end);
    }),
    new KvMethod(router, "DeleteRange", (call, bytes, start, end) => {
      if (!accept(router, call, checkDeleteRange(bytes, start, end))) return;
      if (hasEmptyDeleteRangeEnd())
        proposeWhole(router, call, RaftField.deleteRange, stripDeleteRange(bytes, start, end));
      else router.propose(call, RaftField.deleteRange, bytes, start, end);
    }),
    new KvMethod(router, "Txn", (call, bytes, start, end) => {
      if (!space.admits(call, RaftField.txn, bytes, start, end)) return;
      if (accept(router, call, checkTxn(bytes, start, end, options.txnOpsMax)))
        routeTxn(router, call, bytes, start, end);
    }),
    // A physical compaction may take long, and its answer is short.
    new KvMethod(
      router,
      "Compact",
      (call, bytes, start, end) => {
        if (accept(router, call, checkCompaction(bytes, start, end)))
          router.propose(call, RaftField.compaction, bytes, start, end);
      },
      false,
    ),
    new RangeStreamMethod(router),
  ];
}

type Receive = (call: Call, bytes: Uint8Array, start: number, end: number) => void;

class KvMethod implements MethodHandler {
  readonly path: string;
  readonly kind = "unary";
  readonly paced: boolean;
  readonly onMessage: Receive;
  readonly #router: Router;

  constructor(router: Router, method: string, receive: Receive, paced = true) {
    this.path = `/etcdserverpb.KV/${method}`;
    this.paced = paced;
    this.onMessage = receive;
    this.#router = router;
  }

  onCancel(call: Call): void {
    this.#router.cancel(call);
  }

  onDrain(call: Call): void {
    this.#router.drained(call);
  }
}

/**
 * Ends the call if a check failed; returns whether it may go on. Whether this member takes such a request at all comes before what is wrong
 * with it, as in etcd, unless it cannot be read.
 * @param forLearner a learner takes it, too
 */
function accept(router: Router, call: Call, errorId: number, forLearner = false): boolean {
  if (errorId === ErrorId.none) return true;
  if (errorId !== ErrorId.malformedRequest && !router.admits(call, forLearner)) return false;
  const row = ERRORS[errorId];
  call.end(row.grpcCode, row.message);
  return false;
}

function proposeWhole(router: Router, call: Call, field: number, request: Uint8Array): void {
  router.propose(call, field, request, 0, request.length);
}

function routeTxn(router: Router, call: Call, bytes: Uint8Array, start: number, end: number): void {
  switch (routeOfCheckedTxn()) {
    case TxnRoute.write:
      if (checkedTxnHasEmptyEnds())
        return proposeWhole(router, call, RaftField.txn, stripTxn(bytes, start, end));
      return router.propose(call, RaftField.txn, bytes, start, end);
    case TxnRoute.linearizableRead:
      return router.read(call, ReadKind.txn, true, bytes, start, end);
    default:
      return router.read(call, ReadKind.txn, false, bytes, start, end);
  }
}
