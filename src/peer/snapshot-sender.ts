/** Sends a snapshot to a peer: one POST with the message and the database file behind it. */

import { createReadStream } from "node:fs";
import type { ClientRequest } from "node:http";
import { pipeline as pipe } from "node:stream/promises";
import { formatId } from "../cluster/identity.ts";
import type { RaftMessage } from "../raft/raft.ts";
import type { SnapshotFile } from "../raft/snapshot-service.ts";
import { encodeFrame } from "./message-stream.ts";
import { OutputBuffer } from "./output-buffer.ts";
import type { PeerParts } from "./peer-context.ts";
import { reasonOf } from "./peer-log.ts";
import { openPeerRequest } from "./peer-http.ts";
import { checkPostAnswer, roundTrip } from "./pipeline.ts";

/** Read and written at once. */
const FILE_CHUNK_BYTES = 256 * 1024;

export class SnapshotSender {
  readonly #parts: PeerParts;
  readonly #requests = new Set<ClientRequest>();

  constructor(parts: PeerParts) {
    this.#parts = parts;
  }

  /** The outcome is told by {@link PeerContext.snapshotStatus}, once. */
  send(message: RaftMessage, file: SnapshotFile): void {
    const { context, counters, peerId, picker, status } = this.#parts;
    const url = picker.pick();
    const startedMs = context.clock.monotonicMs();
    const fields = {
      "snapshot-index": file.meta.index,
      "remote-peer-id": formatId(peerId),
      bytes: file.bytes,
    };
    context.log("info", "sending database snapshot", fields);
    counters.snapshotsSending++;
    this.#post(url, message, file).then(
      () => {
        counters.snapshotsSending--;
        counters.snapshotsSent++;
        counters.sentBytes += file.bytes;
        counters.durations.snapshotSend.observe((context.clock.monotonicMs() - startedMs) / 1000);
        status.activate();
        context.log("info", "sent database snapshot", fields);
        context.snapshotStatus(peerId, true);
      },
      (error: unknown) => {
        counters.snapshotsSending--;
        counters.snapshotSendFailures++;
        counters.sentFailures++;
        context.log("warn", "failed to send database snapshot", { ...fields, error: reasonOf(error) });
        picker.failed(url);
        status.deactivate("post on sendMsgSnap", reasonOf(error));
        context.unreachable(peerId);
        context.snapshotStatus(peerId, false);
      },
    );
  }

  /** Ends what is under way; it fails. */
  stop(): void {
    for (const request of this.#requests) request.destroy(new Error("stopped"));
  }

  async #post(url: string, message: RaftMessage, file: SnapshotFile): Promise<void> {
    const { context } = this.#parts;
    const out = new OutputBuffer();
    encodeFrame(out, message, file.data);
    const headers = {
      ...context.headers,
      "Content-Type": "application/octet-stream",
      "Content-Length": out.length + file.bytes,
    };
    const request = openPeerRequest(url, {
      method: "POST",
      path: "/raft/snapshot",
      headers,
      agent: context.agent,
    });
    this.#requests.add(request);
    request.once("close", () => this.#requests.delete(request));
    const answer = roundTrip(request, context.timing.idleTimeoutMs, () => {
      request.write(out.bytes.subarray(0, out.length));
    });
    // A refusal may come before the whole file is sent, and is the better reason.
    const sent = this.#sendFile(request, file);
    const response = await Promise.race([answer, sent.then(() => answer)]);
    try {
      await checkPostAnswer(response, this.#parts);
      await sent;
    } finally {
      sent.catch(() => {});
      if (!request.writableFinished) request.destroy();
    }
  }

  async #sendFile(request: ClientRequest, file: SnapshotFile): Promise<void> {
    if (file.bytes === 0) request.end();
    else {
      const end = file.bytes - 1;
      const source = createReadStream(file.path, { end, highWaterMark: FILE_CHUNK_BYTES });
      await pipe(source, request);
      // The receiver would wait for the rest.
      if (source.bytesRead !== file.bytes) {
        request.destroy(new Error(`snapshot file is shorter than ${file.bytes} bytes`));
        return;
      }
    }
    request.setTimeout(this.#parts.context.timing.snapshotAnswerMs);
  }
}
