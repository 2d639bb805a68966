/** Reads of a WatchResponse only what a load must know: decoding every key and value would make the client the bottleneck. */

const TAG_WATCH_ID = 0x10;
const TAG_CREATED = 0x18;
const TAG_CANCELED = 0x20;
const TAG_CANCEL_REASON = 0x32;
const TAG_EVENT = 0x5a;
const TAG_EVENT_KV = 0x12;
const TAG_KV_MOD_REVISION = 0x18;
const TAG_KV_VALUE = 0x2a;
const WIRE_TYPE_BYTES = 2;

/** Who is told of each event. */
export interface EventSink {
  /** One event; its value is `bytes[valueStart ..]`, borrowed (-1: it has none). */
  onEvent(watchId: number, modRevision: number, bytes: Buffer, valueStart: number): void;
}

/** Reads one WatchResponse after the other; the fields are those of the last. */
export class WatchAnswer {
  /** -1 in what concerns no watch, or one that was refused. */
  watchId = 0;
  created = false;
  canceled = false;
  cancelReason = "";
  readonly #sink: EventSink;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(sink: EventSink) {
    this.#sink = sink;
  }

  /** Reads `bytes[start .. end)`. Servers send fields in the order of their numbers: the watch id comes before its events. */
  read(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.watchId = 0;
    this.created = this.canceled = false;
    this.cancelReason = "";
    while (this.#at < end) this.#readField(this.#varint());
    if (this.#at !== end) throw new Error("a WatchResponse that ends within a field");
  }

  #readField(tag: number): void {
    const value = this.#varint();
    if ((tag & 7) !== WIRE_TYPE_BYTES) {
      // Negative ids (-1 is the only one) have ten bytes, more than a number holds exactly.
      if (tag === TAG_WATCH_ID) this.watchId = value > Number.MAX_SAFE_INTEGER ? -1 : value;
      else if (tag === TAG_CREATED) this.created = value !== 0;
      else if (tag === TAG_CANCELED) this.canceled = value !== 0;
      return;
    }
    const end = this.#at + value;
    if (tag === TAG_EVENT) this.#readEvent(end);
    else if (tag === TAG_CANCEL_REASON) this.cancelReason = this.#bytes.toString("utf8", this.#at, end);
    this.#at = end;
  }

  #readEvent(end: number): void {
    while (this.#at < end) {
      const tag = this.#varint();
      const value = this.#varint();
      if (tag === TAG_EVENT_KV) return this.#readKeyValue(this.#at + value);
      if ((tag & 7) === WIRE_TYPE_BYTES) this.#at += value;
    }
    throw new Error("an event without a key");
  }

  #readKeyValue(end: number): void {
    let modRevision = 0;
    let valueStart = -1;
    while (this.#at < end) {
      const tag = this.#varint();
      const value = this.#varint();
      if (tag === TAG_KV_MOD_REVISION) modRevision = value;
      if (tag === TAG_KV_VALUE) valueStart = this.#at;
      if ((tag & 7) === WIRE_TYPE_BYTES) this.#at += value;
    }
    this.#sink.onEvent(this.watchId, modRevision, this.#bytes, valueStart);
  }

  #varint(): number {
    let byte = this.#bytes[this.#at++];
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let scale = 128;
    do {
      byte = this.#bytes[this.#at++];
      value += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte >= 0x80);
    return value;
  }
}
