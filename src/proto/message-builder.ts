import { WIRE_BYTES, WIRE_VARINT, varint64Bytes, varintBytes, writeVarint, writeVarint64 } from "./wire.ts";

/**
 * Builds a proto3 message field by field, for messages that are too rare for a hand-tuned encoder and too common on a thread
 * for loading the generated ones. Zero values are omitted, as proto3 does.
 */
export class MessageBuilder {
  #parts: Uint8Array[] = [];
  #bytes = 0;

  #push(part: Uint8Array): this {
    this.#parts.push(part);
    this.#bytes += part.length;
    return this;
  }

  uint64(field: number, value: bigint): this {
    if (value === 0n) return this;
    const low = Number(value & 0xffff_ffffn);
    const high = Number((value >> 32n) & 0xffff_ffffn);
    const tag = (field << 3) | WIRE_VARINT;
    const part = new Uint8Array(varintBytes(tag) + varint64Bytes(low, high));
    writeVarint64(part, writeVarint(part, 0, tag), low, high);
    return this.#push(part);
  }

  /** An int64 or uint64 that is a safe non-negative integer. */
  number(field: number, value: number): this {
    return this.uint64(field, BigInt(value));
  }

  bool(field: number, value: boolean): this {
    return this.uint64(field, value ? 1n : 0n);
  }

  /** Length-delimited, also when empty: messages, and elements of repeated fields. */
  bytes(field: number, value: Uint8Array): this {
    const tag = (field << 3) | WIRE_BYTES;
    const head = new Uint8Array(varintBytes(tag) + varintBytes(value.length));
    writeVarint(head, writeVarint(head, 0, tag), value.length);
    return this.#push(head).#push(value);
  }

  string(field: number, value: string): this {
    return value === "" ? this : this.bytes(field, new TextEncoder().encode(value));
  }

  strings(field: number, values: readonly string[]): this {
    for (const value of values) this.bytes(field, new TextEncoder().encode(value));
    return this;
  }

  message(field: number, value: MessageBuilder): this {
    return this.bytes(field, value.finish());
  }

  /** The whole message. */
  finish(): Uint8Array {
    const whole = new Uint8Array(this.#bytes);
    let offset = 0;
    for (const part of this.#parts) {
      whole.set(part, offset);
      offset += part.length;
    }
    return whole;
  }
}
