/** Questions to the apply thread: previous values, and in memory mode history. One at a time. */
import { viewOf } from "../base/bytes.ts";
import { RecordType, WatchQueryKind } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import type { EventHistory, HistoryResult, HistoryVisitor } from "./event-history.ts";
import { CATCH_UP_BYTES_MAX, CATCH_UP_RECORDS_MAX, QUERY_BYTES_MAX } from "./watch-limits.ts";

const HISTORY_BYTES = 25;
const PREVIOUS_ITEM_BYTES = 12;

/** A question for previous values that is being put together. */
export class PreviousQuery {
  #buffer = new Uint8Array(QUERY_BYTES_MAX);
  #length = 1;

  constructor() {
    this.#buffer[0] = WatchQueryKind.previous;
  }

  get isEmpty(): boolean {
    return this.#length === 1;
  }

  /** Asks for the value of `key` at `revision`; false if the question is full. A very long key is a question of its own. */
  add(revision: number, key: Uint8Array): boolean {
    const end = this.#length + PREVIOUS_ITEM_BYTES + key.length;
    if (end > QUERY_BYTES_MAX && !this.isEmpty) return false;
    if (end > this.#buffer.length) this.#grow(end);
    const view = viewOf(this.#buffer);
    view.setFloat64(this.#length, revision, true);
    view.setUint32(this.#length + 8, key.length, true);
    this.#buffer.set(key, this.#length + PREVIOUS_ITEM_BYTES);
    this.#length = end;
    return true;
  }

  /** Sends it as question `number`, and begins the next one. */
  send(ring: RingWriter, number: number): void {
    sendQuery(ring, number, this.#buffer, this.#length);
    this.#length = 1;
    if (this.#buffer.length > QUERY_BYTES_MAX) this.#grow(QUERY_BYTES_MAX);
  }

  #grow(bytes: number): void {
    this.#buffer = new Uint8Array(bytes);
    this.#buffer[0] = WatchQueryKind.previous;
  }
}

/** Memory mode: the backend belongs to the apply thread, which is asked for pieces of it. */
export class AskedHistory implements EventHistory {
  readonly #ring: RingWriter;

  constructor(ring: RingWriter) {
    this.#ring = ring;
  }

  read(from: number, to: number, _visit: HistoryVisitor, _result: HistoryResult, question: number): false {
    const query = new Uint8Array(HISTORY_BYTES);
    const view = new DataView(query.buffer);
    query[0] = WatchQueryKind.history;
    view.setFloat64(1, from, true);
    view.setFloat64(9, to, true);
    view.setUint32(17, CATCH_UP_RECORDS_MAX, true);
    view.setUint32(21, CATCH_UP_BYTES_MAX, true);
    sendQuery(this.#ring, question, query, query.length);
    return false;
  }

  refresh(): void {}

  close(): void {}
}

function sendQuery(ring: RingWriter, question: number, payload: Uint8Array, length: number): void {
  while (!ring.write(RecordType.watchQuery, 0, question, payload, 0, length)) ring.waitForRoom(length);
  ring.publish();
}
