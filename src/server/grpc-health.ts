/**
 * grpc.health.v1.Health, as gRPC's probes, load balancers and clients ask it. As etcd's it says whether this member takes calls, and not
 * what becomes of them: a probe must not restart a member because others are missing. `/readyz` tells about that.
 */

import type { Call, MethodHandler } from "../grpc/service.ts";
import { ERRORS, ErrorId, GrpcCode } from "../base/errors.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { WireReader } from "../proto/wire.ts";
import { refuseMalformed } from "./number-field.ts";
import type { Router } from "./router.ts";

const SERVING = 1n;
const NOT_SERVING = 2n;
const SERVICE_UNKNOWN = 3n;

export interface HealthOptions {
  /** Feature gate StopGRPCServiceOnDefrag: clients are to go elsewhere while the database is defragmented. */
  readonly stopsOnDefrag?: boolean;
}

/** What both methods have in common. */
class Health {
  readonly router: Router;
  readonly #stopsOnDefrag: boolean;
  readonly #reader = new WireReader();

  constructor(router: Router, { stopsOnDefrag = false }: HealthOptions) {
    this.router = router;
    this.#stopsOnDefrag = stopsOnDefrag;
  }

  get status(): bigint {
    return this.#stopsOnDefrag && this.router.status.isDefragmenting ? NOT_SERVING : SERVING;
  }

  /**
   * HealthCheckRequest {1 service}: the server as a whole has no name, and nothing else is known. True if it names one; null if the
   * call has ended, because it may not ask or is malformed.
   */
  namesService(call: Call, bytes: Uint8Array, start: number, end: number): boolean | null {
    const reader = this.#reader;
    let named = false;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      const from = reader.position;
      reader.skip(tag);
      // A string of one byte or more takes two with its length.
      if (tag === 0x0a) named = reader.position - from > 1;
    }
    if (reader.failed) return refuseMalformed(call);
    return this.router.admits(call, false) ? named : null;
  }
}

/** HealthCheckResponse {1 status}. */
function send(call: Call, status: bigint): void {
  const answer = new MessageBuilder().uint64(1, status).finish();
  call.sendMessage(answer, 0, answer.length);
}

/** The member stops. */
function refuse(call: Call): void {
  const { grpcCode, message } = ERRORS[ErrorId.stopped];
  call.end(grpcCode, message);
}

class HealthCheckMethod implements MethodHandler {
  readonly path = "/grpc.health.v1.Health/Check";
  readonly kind = "unary";
  readonly #health: Health;

  constructor(health: Health) {
    this.#health = health;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const named = this.#health.namesService(call, bytes, start, end);
    if (named === null) return;
    if (named) return call.end(GrpcCode.notFound, "unknown service");
    send(call, this.#health.status);
    call.end(GrpcCode.ok, "");
  }
}

/** Tells the status at once, and then each change, until the client goes or the member stops. */
class HealthWatchMethod implements MethodHandler {
  readonly path = "/grpc.health.v1.Health/Watch";
  readonly kind = "serverStreaming";
  readonly #health: Health;
  /** Calls about the server as a whole; nothing is ever told to others again. */
  readonly #watching = new Set<Call>();
  /** All open calls. */
  readonly #open = new Set<Call>();
  #told: bigint;
  #stopping = false;

  constructor(health: Health) {
    const { router } = health;
    this.#health = health;
    this.#told = health.status;
    router.status.defragmentListeners.add(this.#onChange);
    router.stopListeners.add(() => {
      this.#stopping = true;
      for (const call of this.#open) refuse(call);
      this.#open.clear();
      this.#watching.clear();
    });
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const named = this.#health.namesService(call, bytes, start, end);
    if (named === null) return;
    if (this.#stopping) return refuse(call);
    this.#open.add(call);
    if (!named) this.#watching.add(call);
    send(call, named ? SERVICE_UNKNOWN : this.#health.status);
  }

  onCancel(call: Call): void {
    this.#open.delete(call);
    this.#watching.delete(call);
  }

  readonly #onChange = (): void => {
    const { router, status } = this.#health;
    if (status === this.#told) return;
    this.#told = status;
    for (const call of this.#watching) send(call, status);
    router.flush();
  };
}

/** Handlers of `grpc.health.v1.Health`. */
export function healthMethods(router: Router, options: HealthOptions = {}): MethodHandler[] {
  const health = new Health(router, options);
  return [new HealthCheckMethod(health), new HealthWatchMethod(health)];
}
