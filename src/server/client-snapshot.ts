/**
 * Maintenance.Snapshot: the member's state as a database file of etcd's, streamed to a client, its SHA-256 behind it.
 *
 * ```
 *   commit ──▶ file written by the pool ──▶ 32 KiB messages, as the client takes them ──▶ SHA-256 ──▶ end
 * ```
 * The file has lost its name before its first byte is sent, so nothing of it stays, however the call or the process ends.
 */

import type { FileHandle } from "node:fs/promises";
import { ErrorId, GrpcCode } from "../base/errors.ts";
import { storageVersionOf } from "../cluster/version.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { ReadKind } from "../ring/record-types.ts";
import type { Logger } from "../telemetry/logger.ts";
import { readNumberField } from "./number-field.ts";
import { CallFailure } from "./internal-call.ts";
import { Pace } from "./paced-sender.ts";
import { failure } from "./reconfigurer.ts";
import type { Router } from "./router.ts";

/** What one message carries, as etcd's. */
const BLOB_BYTES = 32 * 1024;
/** Read from the file at once. */
const READ_BYTES = 8 * BLOB_BYTES;
/** Snapshots in progress for clients; more are refused: each keeps a file on the disk. */
export const CLIENT_SNAPSHOTS_MAX = 8;
const EMPTY = new Uint8Array(0);

/** A snapshot to be sent. The file has no name any more; closing it frees its room. */
export interface ClientSnapshot {
  readonly file: FileHandle;
  readonly bytes: number;
  readonly sha256: Uint8Array;
}

/** Where snapshots for clients come from. */
export interface ClientSnapshotSource {
  /**
   * Writes what storage has committed. Rejects with the cause (a full disk), or when `signal` is aborted.
   * @param inUseBytes about how long the file will be
   */
  createForClient(inUseBytes: number, signal: AbortSignal): Promise<ClientSnapshot>;
}

export interface ClientSnapshotOptions {
  readonly router: Router;
  readonly source: ClientSnapshotSource;
  readonly log: Logger;
}

export class SnapshotMethod implements MethodHandler {
  readonly path = "/etcdserverpb.Maintenance/Snapshot";
  readonly kind = "serverStreaming";
  readonly #options: ClientSnapshotOptions;
  #active = 0;

  constructor(options: ClientSnapshotOptions) {
    this.#options = options;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const { router, log } = this.#options;
    if (readNumberField(call, bytes, start, end) === null || !router.admits(call, true)) return;
    if (this.#active >= CLIENT_SNAPSHOTS_MAX) {
      call.end(GrpcCode.resourceExhausted, "etcdserver: too many snapshots are being sent");
      return;
    }
    const pace = new Pace(call);
    call.state = pace;
    this.#active++;
    this.#serve(call, pace)
      .catch((error: unknown) => {
        if (pace.signal.aborted) return;
        log.warn("failed to send database snapshot to client", { error });
        router.end(call, error instanceof CallFailure ? error : internalFailure(error));
      })
      .finally(() => this.#active--);
  }

  onCancel(call: Call): void {
    (call.state as Pace | null)?.cancel();
  }

  onDrain(call: Call): void {
    (call.state as Pace | null)?.drained();
  }

  async #serve(call: Call, pace: Pace): Promise<void> {
    const { router, source, log } = this.#options;
    const { signal } = pace;
    // What this member has applied is to be in it, as with etcd.
    await router.request((own) => router.read(own, ReadKind.commit, false, EMPTY, 0, 0));
    signal.throwIfAborted();
    const snapshot = await source.createForClient(router.status.dbInUseBytes, signal);
    try {
      signal.throwIfAborted();
      const version = storageVersionOf(router.status.clusterVersion);
      const startedMs = performance.now();
      const fields = { "total-bytes": snapshot.bytes, "storage-version": version };
      log.info("sending database snapshot to client", fields);
      await this.#send(call, pace, snapshot, version);
      const took = `${Math.round(performance.now() - startedMs)}ms`;
      log.info("successfully sent database snapshot to client", { ...fields, took });
      router.end(call, failure(ErrorId.none));
    } finally {
      await snapshot.file.close();
    }
  }

  async #send(
    call: Call,
    pace: Pace,
    { file, bytes, sha256 }: ClientSnapshot,
    version: string,
  ): Promise<void> {
    const buffer = new Uint8Array(Math.min(READ_BYTES, bytes));
    for (let sent = 0; sent < bytes;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, sent);
      if (bytesRead === 0) throw new Error(`the snapshot's file ended at ${sent} of ${bytes} bytes`);
      for (let from = 0; from < bytesRead; from += BLOB_BYTES) {
        const to = Math.min(from + BLOB_BYTES, bytesRead);
        sendBlob(call, buffer.subarray(from, to), bytes - sent - to, version);
      }
      sent += bytesRead;
      this.#options.router.flush();
      await pace.untilTaken();
    }
    sendBlob(call, sha256, 0, version);
  }
}

/** SnapshotResponse {2 remaining_bytes, 3 blob, 4 version}. */
function sendBlob(call: Call, blob: Uint8Array, remainingBytes: number, version: string): void {
  const message = new MessageBuilder().number(2, remainingBytes).bytes(3, blob).string(4, version).finish();
  call.sendMessage(message, 0, message.length);
}

function internalFailure(error: unknown): CallFailure {
  return new CallFailure(GrpcCode.unknown, error instanceof Error ? error.message : String(error));
}
