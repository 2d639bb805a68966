/** Whether the last thing tried with a peer worked, on whatever channel, and since when all of it does. */

import type { Clock } from "../base/clock.ts";
import { formatId } from "../cluster/identity.ts";
import type { PeerCounters } from "./peer-counters.ts";
import type { PeerLog } from "./peer-log.ts";

export class PeerStatus {
  /** Unix ms; 0 = the peer is inactive. */
  sinceMs = 0;
  readonly #peerId: string;
  readonly #clock: Clock;
  readonly #log: PeerLog;
  readonly #counters: PeerCounters;

  constructor(peerId: bigint, parts: { clock: Clock; log: PeerLog; counters: PeerCounters }) {
    this.#peerId = formatId(peerId);
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#counters = parts.counters;
  }

  get isActive(): boolean {
    return this.sinceMs !== 0;
  }

  activate(): void {
    if (this.isActive) return;
    this.sinceMs = this.#clock.unixMs();
    this.#log("info", "peer became active", { "peer-id": this.#peerId });
  }

  /** @param failure what failed, such as `dial on streamMsgAppV2` */
  deactivate(failure: string, reason: string): void {
    const error = `failed to ${failure} (${reason})`;
    const fields = { "peer-id": this.#peerId, error };
    if (!this.isActive) {
      this.#log("debug", "peer deactivated again", fields);
      return;
    }
    this.sinceMs = 0;
    this.#counters.disconnects++;
    this.#log("warn", "peer became inactive (message send to peer failed)", fields);
  }
}
