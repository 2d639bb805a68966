/** What a snapshot file holds, and whether it is whole. */
import { crc32c } from "../../base/crc32c.ts";
import { KeyValueReader } from "../../mvcc/key-value.ts";
import { BoltReader } from "../../snapshot/bolt-reader.ts";
import type { BoltFile } from "../../snapshot/bolt-file.ts";
import { isRevisionKey } from "../../snapshot/read-snapshot.ts";
import { META_STORAGE_VERSION } from "../../storage/meta-keys.ts";
import { readRevisionMain, TOMBSTONE_KEY_BYTES } from "../../storage/revision-key.ts";

/** The figures of `snapshot status`, which etcd's tools compute alike. */
export interface SnapshotStatus {
  /** CRC-32C over every bucket's name and records. */
  readonly hash: number;
  /** Newest revision. */
  readonly revision: number;
  /** Keys that are there at that revision. */
  readonly totalKeys: number;
  /** Bytes of the database, without the SHA-256 behind it. */
  readonly totalBytes: number;
  /** Version of the schema; empty before 3.6. */
  readonly version: string;
  /** The file ended with a SHA-256, and it was right. */
  readonly isVerified: boolean;
}

/** Smallest unit of a database: a file of another length has lost some of its end. */
const SECTOR_BYTES = 512;
const VERSION_KEY = Buffer.from(META_STORAGE_VERSION).toString();

/**
 * Refuses a file that was cut or changed, as far as its length and its SHA-256 tell. `onProgress` is told of the bytes that were read.
 * @throws SnapshotFileError
 */
export function verifyFile(file: BoltFile, onProgress: (bytes: number) => void): void {
  if (file.hasTrailer) return file.verifyTrailer(onProgress);
  if (file.databaseBytes % SECTOR_BYTES === 0) return;
  throw file.error(
    `is cut short: its ${file.databaseBytes} bytes are neither whole pages nor whole pages with a SHA-256 behind them`,
  );
}

/**
 * Reads the whole file, twice if a SHA-256 stands behind it.
 * @throws SnapshotFileError when it is damaged; an error with the path when it cannot be read
 */
export function readStatus(path: string, onProgress: (bytes: number) => void): SnapshotStatus {
  const reader = new BoltReader(path);
  try {
    const { file } = reader;
    verifyFile(file, onProgress);
    const summary = new Summary(file);
    for (const bucket of reader.buckets()) {
      summary.bucket(bucket.name);
      reader.scan(bucket, (bytes, keyAt, valueAt, end) => {
        summary.record(bytes.subarray(keyAt, end), valueAt - keyAt);
        onProgress(end - keyAt);
      });
    }
    return summary.finish();
  } finally {
    reader.close();
  }
}

class Summary {
  readonly #file: BoltFile;
  readonly #keys = new Set<string>();
  readonly #reader = new KeyValueReader();
  #bucket = "";
  #hash = 0;
  #revision = 0;
  #version = "";

  constructor(file: BoltFile) {
    this.#file = file;
  }

  bucket(name: string): void {
    this.#bucket = name;
    const bytes = Buffer.from(name);
    this.#hash = crc32c(this.#hash, bytes, 0, bytes.length);
  }

  /** `bytes` are the key, of `keyLength` bytes, and behind it the value. */
  record(bytes: Uint8Array, keyLength: number): void {
    this.#hash = crc32c(this.#hash, bytes, 0, bytes.length);
    if (this.#bucket === "key") this.#revisionRecord(bytes, keyLength);
    else if (this.#bucket === "meta" && text(bytes.subarray(0, keyLength)) === VERSION_KEY) {
      this.#version = text(bytes.subarray(keyLength));
    }
  }

  #revisionRecord(bytes: Uint8Array, keyLength: number): void {
    const key = bytes.subarray(0, keyLength);
    const reader = this.#reader;
    if (!isRevisionKey(key) || !reader.read(bytes, keyLength, bytes.length)) {
      throw this.#file.error(`is damaged: bucket key has a record 0x${Buffer.from(key).toString("hex")}`);
    }
    this.#revision = readRevisionMain(key, 0);
    const name = Buffer.from(bytes.subarray(reader.keyStart, reader.keyEnd)).toString("latin1");
    if (keyLength === TOMBSTONE_KEY_BYTES) this.#keys.delete(name);
    else this.#keys.add(name);
  }

  finish(): SnapshotStatus {
    const { highWater, pageBytes } = this.#file.meta;
    return {
      hash: this.#hash,
      revision: this.#revision,
      totalKeys: this.#keys.size,
      totalBytes: highWater * pageBytes,
      version: this.#version,
      isVerified: this.#file.hasTrailer,
    };
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
}
