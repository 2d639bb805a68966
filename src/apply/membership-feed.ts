/** What the apply thread tells raft and main about the membership. Raft waits for it at each conf change; neither waits for apply otherwise. */

import type { Membership } from "../cluster/membership.ts";
import { RecordType } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";

const RESULT_BYTES = 4;
const utf8 = new TextEncoder();

export class MembershipFeed {
  readonly #toRaft: RingWriter;
  readonly #toMain: RingWriter;

  constructor(toRaft: RingWriter, toMain: RingWriter) {
    this.#toRaft = toRaft;
    this.#toMain = toMain;
  }

  /** The membership at the applied index, to both; in front of the {@link result} and of the answer to whoever asked for the change. */
  report(membership: Membership, index: number): void {
    const json = utf8.encode(JSON.stringify(membership.report(index)));
    for (const ring of [this.#toRaft, this.#toMain]) {
      while (!ring.write(RecordType.membership, 0, index, json, 0, json.length)) {
        ring.publish();
        ring.waitForRoom(json.length);
      }
    }
  }

  /** Whether the conf change at `index` is valid: raft applies it, or nothing, and goes on. */
  result(index: number, valid: boolean): void {
    const ring = this.#toRaft;
    let at = ring.reserve(RESULT_BYTES);
    while (at < 0) {
      ring.publish();
      ring.waitForRoom(RESULT_BYTES);
      at = ring.reserve(RESULT_BYTES);
    }
    ring.view.setUint32(at, valid ? 1 : 0, true);
    ring.commit(RecordType.confChangeResult, 0, index, RESULT_BYTES);
  }
}
