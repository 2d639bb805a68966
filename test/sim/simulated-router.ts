/** What the Watch service and the revoker of leases see of main in a simulated member: the router's part for them, on virtual time. */

import { ERRORS, ErrorId } from "../../src/base/errors.ts";
import type { Call } from "../../src/grpc/service.ts";
import type { MemoryRing } from "../../src/ring/memory-ring.ts";
import { InternalCall } from "../../src/server/internal-call.ts";
import { MemberStatus } from "../../src/server/member-status.ts";
import type { RecordHandler } from "../../src/server/router-options.ts";
import type { Life, Scheduler } from "./scheduler.ts";
import type { Answer } from "./simulated-main.ts";

/** A record that found no room is tried again this soon. */
const RETRY_MS = 5;

export interface SimulatedRouterOptions {
  readonly memberId: bigint;
  readonly scheduler: Scheduler;
  readonly life: Life;
  readonly toApply: MemoryRing;
  readonly toWatch: MemoryRing;
  readonly read: (kind: number, payload: Uint8Array, done: (answer: Answer) => void) => void;
  readonly proposeAsLeader: (
    term: number,
    field: number,
    payload: Uint8Array,
    done: (answer: Answer) => void,
  ) => void;
}

interface WaitingRecord {
  readonly ring: MemoryRing;
  readonly type: number;
  readonly id: number;
  readonly payload: Uint8Array;
}

export class SimulatedRouter {
  readonly status: MemberStatus;
  readonly stopListeners = new Set<() => void>();
  readonly #options: SimulatedRouterOptions;
  readonly #handlers = new Map<number, RecordHandler>();
  #waiting: WaitingRecord[] = [];

  constructor(options: SimulatedRouterOptions) {
    this.#options = options;
    this.status = new MemberStatus(options.memberId);
  }

  onRecord(type: number, handler: RecordHandler): void {
    this.#handlers.set(type, handler);
  }

  /** A record that came for main. */
  take(type: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (!this.status.take(type, id, bytes, start, end)) this.#handlers.get(type)?.(bytes, start, end, id);
  }

  tellApply(type: number, id: number, payload: Uint8Array): boolean {
    return this.#tell({ ring: this.#options.toApply, type, id, payload });
  }

  tellWatch(type: number, id: number, payload: Uint8Array): boolean {
    return this.#tell({ ring: this.#options.toWatch, type, id, payload });
  }

  #tell(record: WaitingRecord): true {
    this.#waiting.push(record);
    if (this.#waiting.length === 1) this.sendWaiting();
    return true;
  }

  /** Writes what waits for room. */
  sendWaiting(): void {
    while (this.#waiting.length > 0) {
      const [{ ring, type, id, payload }] = this.#waiting;
      if (!ring.write(type, 0, id, payload, 0, payload.length)) {
        this.#options.scheduler.after(RETRY_MS, this.#options.life, () => this.sendWaiting());
        return;
      }
      this.#waiting.shift();
      ring.publish();
    }
  }

  request(send: (call: Call) => void): Promise<Uint8Array> {
    const call = new InternalCall();
    send(call);
    return call.response;
  }

  read(call: Call, kind: number, _linearizable: true, bytes: Uint8Array, start: number, end: number): void {
    this.#options.read(kind, bytes.slice(start, end), (answer) => endCall(call, answer));
  }

  proposeAsLeader(call: Call, term: number, field: number, bytes: Uint8Array): void {
    this.#options.proposeAsLeader(term, field, bytes, (answer) => endCall(call, answer));
  }

  /** Main ends its turn for the sake of others; here each record is a turn. */
  noteCopies(): void {}

  flush(): void {}
}

function endCall(call: Call, { bytes, errorId }: Answer): void {
  if (bytes !== null) {
    call.sendMessage(bytes, 0, bytes.length);
    call.end(0, "");
    return;
  }
  const { grpcCode, message } = ERRORS[errorId === ErrorId.none ? ErrorId.timeout : errorId];
  call.end(grpcCode, message);
}
