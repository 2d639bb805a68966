import type { Mvcc } from "../mvcc/mvcc.ts";
import { RecordType } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";

const APPLY_STATUS_BYTES = 24;
const COMMITTED_BYTES = 32;

/** Size of a database. */
export interface DatabaseSize {
  readonly allocatedBytes: number;
  readonly inUseBytes: number;
}

/** What apply tells main of how far the state is. The loop publishes. */
export class StatusRecords {
  readonly #toMain: RingWriter;
  readonly #store: Mvcc;

  constructor(toMain: RingWriter, store: Mvcc) {
    this.#toMain = toMain;
    this.#store = store;
  }

  /** Everything up to entry `index` is applied. */
  writeApplied(index: number): void {
    const toMain = this.#toMain;
    const offset = this.#reserve(APPLY_STATUS_BYTES);
    toMain.view.setFloat64(offset, index, true);
    toMain.view.setFloat64(offset + 8, this.#store.revision, true);
    toMain.view.setFloat64(offset + 16, this.#store.compactRevision, true);
    toMain.commit(RecordType.applyStatus, 0, 0, APPLY_STATUS_BYTES);
  }

  /** Memory mode: what the storage thread would tell of a commit up to entry `index`. */
  writeCommitted(index: number, { allocatedBytes, inUseBytes }: DatabaseSize): void {
    const toMain = this.#toMain;
    const offset = this.#reserve(COMMITTED_BYTES);
    toMain.view.setFloat64(offset, this.#store.revision, true);
    toMain.view.setFloat64(offset + 8, 0, true);
    toMain.view.setFloat64(offset + 16, allocatedBytes, true);
    toMain.view.setFloat64(offset + 24, inUseBytes, true);
    toMain.commit(RecordType.committed, 0, index, COMMITTED_BYTES);
  }

  #reserve(length: number): number {
    const toMain = this.#toMain;
    let offset = toMain.reserve(length);
    while (offset < 0) {
      toMain.waitForRoom(length);
      offset = toMain.reserve(length);
    }
    return offset;
  }
}
