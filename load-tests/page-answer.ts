/** Reads of a RangeResponse only what paging needs: decoding every key of every page would make the client the bottleneck. */

const TAG_KVS = 0x12;
const TAG_MORE = 0x18;
const TAG_KEY = 0x0a;
const WIRE_TYPE_BYTES = 2;

/** A page of keys. */
export interface Page {
  readonly keys: number;
  /** Borrowed from the message. */
  readonly lastKey: Buffer;
  readonly more: boolean;
}

/** Reads a RangeResponse. */
export function readPage(message: Buffer): Page {
  const cursor = new Cursor(message);
  let keys = 0;
  let last = 0;
  let more = false;
  while (cursor.at < message.length) {
    const tag = cursor.varint();
    const value = cursor.varint();
    if (tag === TAG_KVS) {
      keys++;
      last = cursor.at;
    }
    if (tag === TAG_MORE) more = value !== 0;
    if ((tag & 7) === WIRE_TYPE_BYTES) cursor.at += value;
  }
  return { keys, lastKey: keyAt(message, last), more };
}

/** The key of the KeyValue that begins at `at`: its first field. */
function keyAt(message: Buffer, at: number): Buffer {
  const cursor = new Cursor(message, at);
  if (message.length === 0 || cursor.varint() !== TAG_KEY) return Buffer.alloc(0);
  const length = cursor.varint();
  return message.subarray(cursor.at, cursor.at + length);
}

class Cursor {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.at++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  }
}
