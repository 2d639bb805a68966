/** The Cluster service. MemberList is answered by the apply thread, which owns the membership; changes come with the cluster. */

import type { Call, MethodHandler } from "../grpc/service.ts";
import { ReadKind } from "../ring/record-types.ts";
import { readNumberField } from "./number-field.ts";
import type { Router } from "./router.ts";

const EMPTY = new Uint8Array(0);

class MemberListMethod implements MethodHandler {
  readonly path = "/etcdserverpb.Cluster/MemberList";
  readonly kind = "unary";
  readonly #router: Router;

  constructor(router: Router) {
    this.#router = router;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    // MemberListRequest {1 linearizable}.
    const linearizable = readNumberField(call, bytes, start, end);
    if (linearizable !== null) this.#router.read(call, ReadKind.memberList, linearizable !== 0, EMPTY, 0, 0);
  }

  onCancel(call: Call): void {
    this.#router.cancel(call);
  }
}

/** Handlers of `etcdserverpb.Cluster` that are served. */
export function clusterMethods(router: Router): MethodHandler[] {
  return [new MemberListMethod(router)];
}
