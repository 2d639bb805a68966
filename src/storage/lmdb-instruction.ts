/**
 * Puts through LMDB's addon without lmdb-js's put between: half the time of `putSync` (0.6 us in place of 1.2 for 300 B),
 * for the one operation that every write of the member passes through.
 *
 * The layout is lmdb-js's (its `src/writer.cpp` begins with it), and not documented as an interface. So {@link probe} puts
 * and reads back a record before anything is trusted to it, and the backend uses `putSync` should that ever differ.
 *
 * ```
 *   0 u32 flags   4 u32 database   8 u32 key length   12 key … padding   -4 u32 value length   0 f64 value address
 * ```
 */
import { type LmdbStore, native } from "./lmdb-environment.ts";

const FLAGS_PUT = 15;
const FLAG_APPEND = 0x20000; // MDB_APPEND
const RESULT_REFUSED = 0x4000000; // lmdb-js's FAILED_CONDITION: with MDB_APPEND, the key does not ascend
const KEY_OFFSET = 12;
/** Longest key that {@link InstructionPut} takes; keys of bucket `key` have 17 or 18 bytes. */
const KEY_BYTES_MAX = 256;
/** Flags, the longest key, and the value with its padding. */
const INSTRUCTION_BYTES = 2 * KEY_BYTES_MAX;
const VALUE_BYTES_MIN = 64 * 1024;

/** Appends to one database, inside the open write transaction. */
export class InstructionPut {
  readonly #environment: number;
  readonly #database: number;
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #address: number;
  /** Values are copied here first: not every Node.js 24 gives addons the address of shared memory. */
  #value = new Uint8Array(VALUE_BYTES_MIN);
  #valueAddress: number;

  constructor(store: LmdbStore) {
    const buffer = new ArrayBuffer(INSTRUCTION_BYTES);
    this.#words = new Uint32Array(buffer);
    this.#doubles = new Float64Array(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#address = native.getAddress(buffer);
    this.#valueAddress = native.getAddress(this.#value.buffer);
    this.#environment = store.env.address;
    this.#database = store.db.dbi;
  }

  /** Appends a record. Returns false, with nothing changed, when `key` is not above all others. @throws on I/O errors */
  append(key: Uint8Array, value: Uint8Array): boolean {
    if (value.length > this.#value.length) this.#growValue(value.length);
    this.#value.set(value);
    this.#bytes.set(key, KEY_OFFSET);
    this.#words[0] = FLAGS_PUT | FLAG_APPEND;
    this.#words[1] = this.#database;
    this.#words[2] = key.length;
    const position = (KEY_OFFSET + key.length + 16) >> 3;
    this.#words[position * 2 - 1] = value.length;
    this.#doubles[position] = this.#valueAddress;
    native.write(this.#environment, this.#address);
    return (this.#words[0] & RESULT_REFUSED) === 0;
  }

  #growValue(length: number): void {
    this.#value = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
    this.#valueAddress = native.getAddress(this.#value.buffer);
  }

  /** Puts two records into an empty database and reads them back; the caller aborts the transaction. */
  static probe(store: LmdbStore): boolean {
    const put = new InstructionPut(store);
    const low = new Uint8Array(17).fill(0xfe);
    const high = new Uint8Array(18).fill(0xff);
    const value = Uint8Array.from({ length: 300 }, (_, i) => i);
    if (!put.append(low, value) || !put.append(high, value.subarray(0, 1)) || put.append(low, value))
      return false;
    const found = store.getBinary(low);
    return found !== undefined && Buffer.compare(found, value) === 0 && store.getBinary(high)?.length === 1;
  }
}
