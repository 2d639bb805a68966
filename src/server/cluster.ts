/** The Cluster service. MemberList is answered by the apply thread, which owns the membership; changes come with the cluster. */

import type { Call, MethodHandler } from "../grpc/service.ts";
import { WireReader } from "../proto/wire.ts";
import { ReadKind } from "../ring/record-types.ts";
import type { Router } from "./router.ts";

const EMPTY = new Uint8Array(0);

class MemberListMethod implements MethodHandler {
  readonly path = "/etcdserverpb.Cluster/MemberList";
  readonly kind = "unary";
  readonly #router: Router;
  readonly #reader = new WireReader();

  constructor(router: Router) {
    this.#router = router;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    this.#router.read(call, ReadKind.memberList, this.#isLinearizable(bytes, start, end), EMPTY, 0, 0);
  }

  /** MemberListRequest {1 linearizable}. */
  #isLinearizable(bytes: Uint8Array, start: number, end: number): boolean {
    const reader = this.#reader;
    let linearizable = false;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x08) linearizable = reader.bool();
      else reader.skip(tag);
    }
    return linearizable;
  }

  onCancel(call: Call): void {
    this.#router.cancel(call);
  }
}

/** Handlers of `etcdserverpb.Cluster` that are served. */
export function clusterMethods(router: Router): MethodHandler[] {
  return [new MemberListMethod(router)];
}
