import type { ServerTransport } from "../grpc/service.ts";

/** The transports that clients come through: flushed together, and paused together while any ring has no room. */
export class Transports {
  readonly #transports: ServerTransport[] = [];
  #fullRings = 0;

  add(transport: ServerTransport): void {
    this.#transports.push(transport);
  }

  /** Writes out what has been sent on their calls. */
  flush(): void {
    for (const transport of this.#transports) transport.flush();
  }

  /** One more ring is full, or one less: as long as any is, no socket is read. */
  noteRing(full: boolean): void {
    this.#fullRings += full ? 1 : -1;
    if (full ? this.#fullRings === 1 : this.#fullRings === 0) {
      for (const transport of this.#transports) transport.setPaused(full);
    }
  }
}
