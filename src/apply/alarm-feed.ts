/** What the apply thread tells main about alarms, space and the hashes of compactions. */

import { RecordType } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import type { StoredHash } from "./hash-kv-jobs.ts";
import { type Alarms, AlarmType, encodeAlarms } from "./alarms.ts";

/** Who is told. */
export interface AlarmReporter {
  /** The set of alarms, at start and after each change, in front of the answer to whoever asked for it. */
  report(alarms: Alarms): void;
  /** An entry took `bytes`, more than there is room for, and no alarm says so yet. */
  spaceExceeded(bytes: number): void;
}

/** Tells nobody. */
export const NO_ALARM_REPORTER: AlarmReporter = { report: () => {}, spaceExceeded: () => {} };

export class AlarmFeed implements AlarmReporter {
  readonly #toMain: RingWriter;

  constructor(toMain: RingWriter) {
    this.#toMain = toMain;
  }

  report(alarms: Alarms): void {
    this.#write(RecordType.alarms, encodeAlarms(alarms.list(AlarmType.none)));
  }

  spaceExceeded(bytes: number): void {
    this.#write(RecordType.spaceExceeded, new Uint8Array(Float64Array.of(bytes).buffer));
  }

  compactionHash({ revision, compactRevision, hash }: StoredHash): void {
    const payload = new Uint8Array(Float64Array.of(revision, compactRevision, hash).buffer);
    this.#write(RecordType.compactionHash, payload);
  }

  #write(type: number, payload: Uint8Array): void {
    const ring = this.#toMain;
    while (!ring.write(type, 0, 0, payload, 0, payload.length)) {
      ring.publish();
      ring.waitForRoom(payload.length);
    }
  }
}
