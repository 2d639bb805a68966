/** Copies the keys of one cluster to another, and then every change, in order and as atomically as it was made. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "../../client/client.ts";
import { Event_EventType, type Event } from "../../proto/gen/kv_pb.ts";
import type { RequestOpSchema, TxnRequestSchema } from "../../proto/gen/rpc_pb.ts";
import { encodeOsString } from "../common/os-string.ts";
import { keyRange } from "./key-range.ts";

/** Keys read at a time. */
const PAGE_KEYS = 1000;
/** Bytes a transaction carries at most, unless a single key has more: below the limit that servers have by default. */
const TXN_BYTES_MAX = 1024 * 1024;
/** A cluster that is slow is waited for. */
const PATIENT = { timeoutMs: Infinity } as const;

type Operation = MessageInitShape<typeof RequestOpSchema>;

/** What to copy, and where to. */
export interface MirrorOptions {
  readonly source: Client;
  readonly destination: Client;
  /** Keys that begin so are copied; empty = all. */
  readonly prefix: string;
  /** Takes the place of {@link prefix}. */
  readonly destinationPrefix: string;
  /** Operations a transaction may have. */
  readonly txnOpsMax: number;
  /** Told of each change that has arrived. */
  readonly onCopied: (count: number) => void;
}

/** A running mirror. */
export class Mirror {
  readonly #options: MirrorOptions;
  readonly #prefix: Uint8Array;
  readonly #destinationPrefix: Uint8Array;

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#prefix = encodeOsString(options.prefix);
    this.#destinationPrefix = encodeOsString(options.destinationPrefix);
  }

  /** Copies all keys as they are now; resolves with the revision they are of. Rejects with EtcdError. */
  async copyAll(): Promise<bigint> {
    const { source, prefix } = this.#options;
    const probe = this.#prefix.length === 0 ? Buffer.from("foo") : this.#prefix;
    const revision = (await source.kv.range({ key: probe }, PATIENT)).header?.revision ?? 0n;
    const all = keyRange(prefix, { prefix: true, fromKey: false });
    for (let key = all.key, more = true; more;) {
      const page = await source.kv.range({ ...all, key, limit: BigInt(PAGE_KEYS), revision }, PATIENT);
      const last = page.kvs.at(-1);
      await this.#write(page.kvs.map((kv) => this.#put(kv)));
      more = page.more && last !== undefined;
      if (last !== undefined) key = Buffer.concat([last.key, Uint8Array.of(0)]);
    }
    return revision;
  }

  /** Copies every change behind `revision`. Ends only by rejecting: with EtcdError, WatchCanceledError when that is compacted. */
  async follow(revision: bigint): Promise<void> {
    const { source, prefix } = this.#options;
    const range = keyRange(prefix, { prefix: true, fromKey: false });
    for await (const { events } of source.watch({ ...range, startRevision: revision + 1n })) {
      for (let start = 0; start < events.length;) {
        const end = endOfRevision(events, start);
        await this.#write(events.slice(start, end).map((event) => this.#change(event)));
        start = end;
      }
    }
  }

  #change({ type, kv }: Event): Operation {
    if (kv === undefined) throw new Error("an event without a key");
    if (type !== Event_EventType.DELETE) return this.#put(kv);
    return { request: { case: "requestDeleteRange", value: { key: this.#rename(kv.key) } } };
  }

  #put({ key, value }: { readonly key: Uint8Array; readonly value: Uint8Array }): Operation {
    return { request: { case: "requestPut", value: { key: this.#rename(key), value } } };
  }

  #rename(key: Uint8Array): Uint8Array {
    return Buffer.concat([this.#destinationPrefix, key.subarray(this.#prefix.length)]);
  }

  /** In one transaction, or in as many as its limits ask for. */
  async #write(operations: readonly Operation[]): Promise<void> {
    const { destination, txnOpsMax, onCopied } = this.#options;
    for (let start = 0; start < operations.length;) {
      const end = endOfTransaction(operations, start, txnOpsMax);
      const success: MessageInitShape<typeof TxnRequestSchema>["success"] = operations.slice(start, end);
      await destination.kv.txn({ success }, PATIENT);
      onCopied(end - start);
      start = end;
    }
  }
}

function endOfRevision(events: readonly Event[], start: number): number {
  const revision = events[start].kv?.modRevision;
  let end = start + 1;
  while (end < events.length && events[end].kv?.modRevision === revision) end++;
  return end;
}

function endOfTransaction(operations: readonly Operation[], start: number, opsMax: number): number {
  let bytes = operationBytes(operations[start]);
  let end = start + 1;
  while (end < operations.length && end - start < opsMax) {
    bytes += operationBytes(operations[end]);
    if (bytes > TXN_BYTES_MAX) break;
    end++;
  }
  return end;
}

function operationBytes({ request }: Operation): number {
  if (request?.case !== "requestPut") return 0;
  return (request.value.key?.length ?? 0) + (request.value.value?.length ?? 0);
}
