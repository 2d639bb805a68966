/** Answers to the watch thread's questions: previous values from the index, and in memory mode pieces of history. */
import { viewOf } from "../base/bytes.ts";
import type { BackendReader } from "../mvcc/backend.ts";
import { createKeyMeta, type Mvcc } from "../mvcc/mvcc.ts";
import { RecordType, WatchEventFlag, WatchQueryKind } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import { writeWaiting } from "../ring/write-waiting.ts";

/** Kind, last. */
const FOUND_HEAD_BYTES = 2;
const EVENT_HEAD_BYTES = 16;
const FOUND = 0;
const LAST = 1;

export interface WatchAnswersOptions {
  readonly store: Mvcc;
  /** Memory mode: what the backend holds. */
  readonly reader: BackendReader;
  readonly toWatch: RingWriter;
}

export class WatchAnswers {
  readonly #options: WatchAnswersOptions;
  readonly #meta = createKeyMeta();
  #scratch = new Uint8Array(1024);
  /** The question that is being answered. */
  #question = 0;

  constructor(options: WatchAnswersOptions) {
    this.#options = options;
  }

  /** Answers the question of this number, a `watchQuery` in `bytes[start, end)`. */
  answer(question: number, bytes: Uint8Array, start: number, end: number): void {
    this.#question = question;
    if (bytes[start] === WatchQueryKind.history) this.#history(bytes, start);
    else this.#previous(bytes, start, end);
  }

  #history(bytes: Uint8Array, start: number): void {
    const view = viewOf(bytes);
    const at = bytes.byteOffset + start;
    const from = view.getFloat64(at + 1, true);
    const to = view.getFloat64(at + 9, true);
    const recordsMax = view.getUint32(at + 17, true);
    const bytesMax = view.getUint32(at + 21, true);
    let records = 0;
    let length = 0;
    let revision = 0;
    let through = to;
    this.#options.reader.scanRevisions(from, (main, _sub, tombstone, record, recordBytes) => {
      if (main > to) return false;
      if (main !== revision && (records >= recordsMax || length >= bytesMax)) {
        through = revision;
        return false;
      }
      revision = main;
      records++;
      length += recordBytes;
      this.#sendRecord(main, tombstone, record, recordBytes);
      return true;
    });
    const payload = this.#payload(FOUND_HEAD_BYTES + 8);
    viewOf(payload).setFloat64(FOUND_HEAD_BYTES, through, true);
    this.#send(WatchQueryKind.history, LAST, FOUND_HEAD_BYTES + 8);
  }

  #sendRecord(main: number, tombstone: boolean, record: Uint8Array, recordBytes: number): void {
    const payload = this.#payload(FOUND_HEAD_BYTES + EVENT_HEAD_BYTES + recordBytes);
    const view = viewOf(payload);
    view.setFloat64(FOUND_HEAD_BYTES, main, true);
    view.setUint32(FOUND_HEAD_BYTES + 8, tombstone ? WatchEventFlag.tombstone : 0, true);
    view.setUint32(FOUND_HEAD_BYTES + 12, recordBytes, true);
    payload.set(record.subarray(0, recordBytes), FOUND_HEAD_BYTES + EVENT_HEAD_BYTES);
    this.#send(WatchQueryKind.history, FOUND, FOUND_HEAD_BYTES + EVENT_HEAD_BYTES + recordBytes);
  }

  /** Values that are compacted, or were not there, are left out. */
  #previous(bytes: Uint8Array, start: number, end: number): void {
    const { store } = this.#options;
    const view = viewOf(bytes);
    const meta = this.#meta;
    let position = 0;
    for (let at = start + 1; at < end; position++) {
      const revision = view.getFloat64(bytes.byteOffset + at, true);
      const keyStart = at + 12;
      const keyEnd = keyStart + view.getUint32(bytes.byteOffset + at + 8, true);
      at = keyEnd;
      // A revision of a state that is gone, after a snapshot: that state's values are not this one's.
      if (revision < store.compactRevision || revision > store.revision || revision < 1) continue;
      if (!store.lookup(bytes, keyStart, keyEnd, revision, meta)) continue;
      const payload = this.#payload(FOUND_HEAD_BYTES + 4 + meta.encodedBytes);
      viewOf(payload).setUint32(FOUND_HEAD_BYTES, position, true);
      store.copyKeyValue(meta, payload, FOUND_HEAD_BYTES + 4);
      this.#send(WatchQueryKind.previous, FOUND, FOUND_HEAD_BYTES + 4 + meta.encodedBytes);
    }
    this.#payload(FOUND_HEAD_BYTES);
    this.#send(WatchQueryKind.previous, LAST, FOUND_HEAD_BYTES);
  }

  #payload(length: number): Uint8Array {
    if (this.#scratch.length < length) this.#scratch = new Uint8Array(length);
    return this.#scratch;
  }

  #send(kind: number, last: number, length: number): void {
    const { toWatch } = this.#options;
    this.#scratch[0] = kind;
    this.#scratch[1] = last;
    writeWaiting(toWatch, RecordType.watchFound, this.#question, this.#scratch, length);
  }
}
