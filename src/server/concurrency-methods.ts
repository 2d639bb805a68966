/**
 * Handlers of the Lock and the Election service. Each call is a small program over KV, Lease and Watch (lock.ts, election.ts), which
 * ends when its client goes away; the programs are loaded with the first call, since most members never see one.
 */

import { ErrorId, ERRORS, GrpcCode } from "../base/errors.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import type * as Election from "./election.ts";
import type * as Lock from "./lock.ts";
import type { KeyQueue, QueueServices } from "./key-queue.ts";
import { CallFailure, RequestFailure } from "./internal-call.ts";
import type { Router } from "./router.ts";

/** Waiting and running calls of these services; each may hold a watch. */
const CALLS_MAX = 100_000;
/** An observer that has so much to read gets no more until it has read. */
const UNREAD_BYTES_MAX = 64 * 1024;

type Answer = (queue: KeyQueue, request: Uint8Array) => Promise<Uint8Array>;

interface Programs {
  readonly KeyQueue: typeof KeyQueue;
  readonly lock: typeof Lock;
  readonly election: typeof Election;
}

/** What a call's state is. */
interface Running {
  readonly abort: AbortController;
  /** An observer that waits for its client to read. */
  drained: (() => void) | null;
}

/** Handlers of `v3lockpb.Lock` and `v3electionpb.Election`. */
export function concurrencyMethods(services: QueueServices): MethodHandler[] {
  const calls = new Calls(services);
  const unary = (path: string, answer: (programs: Programs) => Answer): MethodHandler =>
    new UnaryMethod(path, calls, answer);
  return [
    unary("/v3lockpb.Lock/Lock", ({ lock }) => lock.lock),
    unary("/v3lockpb.Lock/Unlock", ({ lock }) => lock.unlock),
    unary("/v3electionpb.Election/Campaign", ({ election }) => election.campaign),
    unary("/v3electionpb.Election/Proclaim", ({ election }) => election.proclaim),
    unary("/v3electionpb.Election/Leader", ({ election }) => election.leader),
    unary("/v3electionpb.Election/Resign", ({ election }) => election.resign),
    new ObserveMethod(calls),
  ];
}

/** All calls of the two services. */
class Calls {
  readonly #services: QueueServices;
  #programs: Promise<Programs> | null = null;
  #running = 0;

  constructor(services: QueueServices) {
    this.#services = services;
  }

  get router(): Router {
    return this.#services.router;
  }

  /** Runs `program` for a call; whatever it throws ends the call. `request` is owned. */
  run(call: Call, program: (programs: Programs, queue: KeyQueue) => Promise<void>): void {
    if (!this.router.admits(call, false)) return;
    if (this.#running >= CALLS_MAX) {
      const row = ERRORS[ErrorId.requestTooManyRequests];
      return call.end(row.grpcCode, row.message);
    }
    const state: Running = { abort: new AbortController(), drained: null };
    call.state = state;
    this.#running++;
    void this.#run(call, state, program).finally(() => this.#running--);
  }

  /** The client has gone. */
  cancel(call: Call): void {
    const state = call.state as Running | null | undefined;
    state?.abort.abort();
    state?.drained?.();
  }

  async #run(
    call: Call,
    { abort }: Running,
    program: (programs: Programs, queue: KeyQueue) => Promise<void>,
  ): Promise<void> {
    try {
      const programs = await (this.#programs ??= load());
      await program(programs, new programs.KeyQueue(this.#services, call, abort.signal));
    } catch (error) {
      // etcd's own clients stand between these services and the store, and their errors have no gRPC code.
      const failure =
        error instanceof RequestFailure ? error : new CallFailure(GrpcCode.unknown, (error as Error).message);
      this.router.end(call, failure);
    }
  }
}

async function load(): Promise<Programs> {
  const [{ KeyQueue }, lock, election] = await Promise.all([
    import("./key-queue.ts"),
    import("./lock.ts"),
    import("./election.ts"),
  ]);
  return { KeyQueue, lock, election };
}

class UnaryMethod implements MethodHandler {
  readonly path: string;
  readonly kind = "unary";
  readonly #calls: Calls;
  readonly #answer: (programs: Programs) => Answer;

  constructor(path: string, calls: Calls, answer: (programs: Programs) => Answer) {
    this.path = path;
    this.#calls = calls;
    this.#answer = answer;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const request = bytes.slice(start, end);
    this.#calls.run(call, async (programs, queue) => {
      const response = await this.#answer(programs)(queue, request);
      if (call.cancelled) return;
      call.sendMessage(response, 0, response.length);
      this.#calls.router.end(call, new CallFailure(GrpcCode.ok, ""));
    });
  }

  onCancel(call: Call): void {
    this.#calls.cancel(call);
  }
}

class ObserveMethod implements MethodHandler {
  readonly path = "/v3electionpb.Election/Observe";
  readonly kind = "serverStreaming";
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const request = bytes.slice(start, end);
    this.#calls.run(call, async ({ election }, queue) => {
      // etcd ends the call without an error whatever its watch ended for.
      await election
        .observe(queue, request, (response) => this.#send(call, response))
        .catch((error: unknown) => {
          if (error instanceof RequestFailure) throw error;
        });
      this.#calls.router.end(call, new CallFailure(GrpcCode.ok, ""));
    });
  }

  onCancel(call: Call): void {
    this.#calls.cancel(call);
  }

  onDrain(call: Call): void {
    (call.state as Running).drained?.();
  }

  async #send(call: Call, response: Uint8Array): Promise<void> {
    if (call.cancelled) return;
    call.sendMessage(response, 0, response.length);
    this.#calls.router.flush();
    if (call.pendingBytes() < UNREAD_BYTES_MAX) return;
    const state = call.state as Running;
    await new Promise<void>((resolve) => (state.drained = resolve));
    state.drained = null;
  }
}
