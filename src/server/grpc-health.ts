/** grpc.health.v1.Health/Check, as gRPC load balancers and probes ask it. */

import type { Call, MethodHandler } from "../grpc/service.ts";
import { GrpcCode } from "../base/errors.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { WireReader } from "../proto/wire.ts";
import { refuseMalformed } from "./number-field.ts";
import type { Router } from "./router.ts";

const SERVING = 1n;
const NOT_SERVING = 2n;

class HealthCheckMethod implements MethodHandler {
  readonly path = "/grpc.health.v1.Health/Check";
  readonly kind = "unary";
  readonly #router: Router;
  readonly #reader = new WireReader();

  readonly #stopsOnDefrag: boolean;

  constructor(router: Router, stopsOnDefrag: boolean) {
    this.#router = router;
    this.#stopsOnDefrag = stopsOnDefrag;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const named = this.#namesService(bytes, start, end);
    if (this.#reader.failed) {
      refuseMalformed(call);
      return;
    }
    if (!this.#router.admits(call, false)) return;
    if (named) {
      call.end(GrpcCode.notFound, "unknown service");
      return;
    }
    const { leaderId, isDefragmenting } = this.#router.status;
    const serves = leaderId !== 0n && !(isDefragmenting && this.#stopsOnDefrag);
    const answer = new MessageBuilder().uint64(1, serves ? SERVING : NOT_SERVING).finish();
    call.sendMessage(answer, 0, answer.length);
    call.end(GrpcCode.ok, "");
  }

  /** HealthCheckRequest {1 service}: the server as a whole has no name, and nothing else is known. */
  #namesService(bytes: Uint8Array, start: number, end: number): boolean {
    const reader = this.#reader;
    let named = false;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      const from = reader.position;
      reader.skip(tag);
      // A string of one byte or more takes two with its length.
      if (tag === 0x0a) named = reader.position - from > 1;
    }
    return named;
  }
}

/** Handlers of `grpc.health.v1.Health` that are served (`stopsOnDefrag`: feature gate StopGRPCServiceOnDefrag); Watch comes with the streams. */
export function healthMethods(
  router: Router,
  options: { readonly stopsOnDefrag?: boolean } = {},
): MethodHandler[] {
  return [new HealthCheckMethod(router, options.stopsOnDefrag ?? false)];
}
