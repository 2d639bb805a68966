/** Messages to a peer as single POSTs: what is used while a stream is missing, and all there is to a remote. */

import type { ClientRequest, IncomingMessage } from "node:http";
import { formatId } from "../cluster/identity.ts";
import { withoutTraces } from "../raft/peer-traces.ts";
import { MessageType, type RaftMessage } from "../raft/raft.ts";
import { OutputBuffer } from "./output-buffer.ts";
import { readAll } from "./peer-client.ts";
import type { PeerParts } from "./peer-context.ts";
import { reasonOf } from "./peer-log.ts";
import { openPeerRequest } from "./peer-http.ts";
import { PIPELINE_MESSAGES_MAX, PIPELINE_REQUESTS_MAX } from "./peer-limits.ts";
import { encodeMessage } from "./raft-message-encode.ts";

/** Body of an answer: nothing, or a line of text. */
const ANSWER_BYTES_MAX = 64 * 1024;

/** A message that waits for a request. */
interface WaitingMessage {
  readonly body: Buffer;
  /** Raft takes any message twice but a proposal, which would be written twice. */
  readonly isRepeatable: boolean;
}

export class Pipeline {
  readonly #parts: PeerParts;
  readonly #out = new OutputBuffer();
  readonly #queue: WaitingMessage[] = [];
  readonly #requests = new Set<ClientRequest>();
  #active = 0;
  #stopped = false;

  constructor(parts: PeerParts) {
    this.#parts = parts;
  }

  /** Encodes the message and sends it as soon as a request is free. False: too many wait. */
  send(message: RaftMessage): boolean {
    if (this.#queue.length >= PIPELINE_MESSAGES_MAX) return false;
    const out = this.#out;
    encodeMessage(out, message.traces === undefined ? message : withoutTraces(message));
    const body = Buffer.from(out.bytes.subarray(0, out.length));
    this.#queue.push({ body, isRepeatable: message.type !== MessageType.prop });
    out.length = 0;
    this.#next();
    return true;
  }

  stop(): void {
    this.#stopped = true;
    this.#queue.length = 0;
    for (const request of this.#requests) request.destroy();
  }

  #next(): void {
    while (!this.#stopped && this.#active < PIPELINE_REQUESTS_MAX) {
      const waiting = this.#queue.shift();
      if (waiting === undefined) return;
      this.#active++;
      void this.#deliver(waiting).finally(() => {
        this.#active--;
        this.#next();
      });
    }
  }

  async #deliver(waiting: WaitingMessage): Promise<void> {
    const { context, counters, peerId, picker, status } = this.#parts;
    const url = picker.pick();
    try {
      await this.#post(url, waiting);
      status.activate();
      counters.sentBytes += waiting.body.length;
    } catch (error) {
      if (this.#stopped) return;
      picker.failed(url);
      status.deactivate("write on pipeline", reasonOf(error));
      counters.sentFailures++;
      context.unreachable(peerId);
    }
  }

  async #post(url: string, waiting: WaitingMessage): Promise<void> {
    const { context } = this.#parts;
    const headers = {
      ...context.headers,
      "Content-Type": "application/protobuf",
      "Content-Length": waiting.body.length,
    };
    const open = (): ClientRequest =>
      openPeerRequest(url, { method: "POST", path: "/raft", headers, agent: context.agent });
    const response = await this.#exchange(open, waiting);
    await checkPostAnswer(response, this.#parts);
  }

  /** Sends the body; once more, if that does no harm, where the peer may just have closed the idle connection that was used. */
  async #exchange(
    open: () => ClientRequest,
    { body, isRepeatable }: WaitingMessage,
  ): Promise<IncomingMessage> {
    const request = open();
    try {
      return await this.#roundTrip(request, body);
    } catch (error) {
      if (!request.reusedSocket || !isRepeatable || this.#stopped) throw error;
      return await this.#roundTrip(open(), body);
    }
  }

  #roundTrip(request: ClientRequest, body: Buffer): Promise<IncomingMessage> {
    this.#requests.add(request);
    request.once("close", () => this.#requests.delete(request));
    return roundTrip(request, this.#parts.context.timing.idleTimeoutMs, () => request.end(body));
  }
}

/** Resolves with the head of the answer. `send` writes the body; silence for `idleMs` ends the request. */
export function roundTrip(
  request: ClientRequest,
  idleMs: number,
  send: () => void,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request.setTimeout(idleMs, () => request.destroy(new Error("i/o timeout")));
  request.on("error", reject);
  request.once("response", resolve);
  request.once("close", () => reject(new Error("connection closed")));
  send();
  return promise;
}

/** Reads the answer to a POST; throws unless it is 204. 403 means that this member was removed. */
export async function checkPostAnswer(response: IncomingMessage, parts: PeerParts): Promise<void> {
  const body = Buffer.from(await readAll(response, ANSWER_BYTES_MAX)).toString();
  if (response.statusCode === 204) return;
  const text = body.replace(/\n$/, "");
  if (response.statusCode === 403) {
    parts.context.log("error", "the member has been permanently removed from the cluster", {
      "remote-peer-id": formatId(parts.peerId),
      error: text,
    });
    parts.context.removedFromCluster();
  }
  throw new Error(`unexpected http status ${response.statusCode}: ${text}`);
}
