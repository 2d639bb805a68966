/** Chooses the endpoint of a call: in turns among those that are connected, waiting if none is. */
import { GrpcCode } from "../base/errors.ts";
import type { Endpoint } from "./endpoint.ts";
import { EtcdError } from "./etcd-error.ts";

/** The longest that setInterval takes. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Endpoints that are equal to the caller. */
export class EndpointPool {
  readonly #endpoints: readonly Endpoint[];
  /** Where the next search begins. */
  #next = 0;
  #closed = false;

  constructor(endpoints: readonly Endpoint[]) {
    this.#endpoints = endpoints;
  }

  get size(): number {
    return this.#endpoints.length;
  }

  /**
   * The next connected endpoint. All of them are (re)connecting meanwhile, so one lost member costs a call nothing.
   * Rejects with EtcdError DEADLINE_EXCEEDED if none could be reached until `deadlineMs` (of `performance.now()`).
   */
  async pick(deadlineMs: number): Promise<Endpoint> {
    // A channel that is connecting does not keep the process alive; whoever waits for it does.
    let waiting: NodeJS.Timeout | undefined;
    try {
      for (;;) {
        const endpoint = this.#findReady();
        if (endpoint !== undefined) return endpoint;
        if (this.#closed) throw new EtcdError(GrpcCode.canceled, "grpc: the client connection is closing");
        if (performance.now() >= deadlineMs) throw await this.#unreachable();
        waiting ??= setInterval(() => {}, TIMER_MS_MAX);
        await Promise.race(this.#endpoints.map((each) => each.stateChange(deadlineMs)));
      }
    } finally {
      clearInterval(waiting);
    }
  }

  close(): void {
    this.#closed = true;
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  #findReady(): Endpoint | undefined {
    if (this.#closed) return undefined;
    let found: Endpoint | undefined;
    const count = this.#endpoints.length;
    for (let i = 0; i < count; i++) {
      const index = (this.#next + i) % count;
      // Ask every one, also after a hit: asking is what makes an idle one connect.
      if (!this.#endpoints[index].isReady() || found !== undefined) continue;
      found = this.#endpoints[index];
      this.#next = (index + 1) % count;
    }
    return found;
  }

  async #unreachable(): Promise<EtcdError> {
    const causes = await Promise.all(this.#endpoints.map((each) => each.connectionError()));
    const cause = causes.filter((text) => text !== "").join("; ");
    const description =
      cause === "" ? "no endpoint became ready" : `latest balancer error: connection error: ${cause}`;
    return new EtcdError(GrpcCode.deadlineExceeded, description, "context deadline exceeded");
  }
}
