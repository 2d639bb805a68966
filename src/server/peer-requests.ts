/** What other members ask of this one's main thread, over HTTP to the raft thread: each request is answered once, whatever happens. */

/** Content types of an answer, as its record has them. */
export const PeerContentType = { json: 0, protobuf: 1, text: 2 } as const;

/** An HTTP answer. */
export interface PeerAnswer {
  readonly status: number;
  /** A {@link PeerContentType}. */
  readonly contentType: number;
  readonly body: Uint8Array;
}

/** Answers one kind of request; `body` is owned. A rejection becomes {@link internalError}. */
export type PeerRequestHandler = (body: Uint8Array) => Promise<PeerAnswer>;

const HEAD_BYTES = 4;
const utf8 = new TextEncoder();

/** Go's http.Error: the text and a newline. */
export function textAnswer(status: number, text: string): PeerAnswer {
  return { status, contentType: PeerContentType.text, body: utf8.encode(`${text}\n`) };
}

/** JSON as etcd's handlers write it. */
export function jsonAnswer(status: number, json: string): PeerAnswer {
  return { status, contentType: PeerContentType.json, body: utf8.encode(json) };
}

/** What etcd says of any error that its handlers do not know. */
export function internalError(): PeerAnswer {
  return jsonAnswer(500, '{"message":"Internal Server Error"}');
}

/** Who answers what, by PeerRequestKind. */
export class PeerRequests {
  readonly #handlers = new Map<number, PeerRequestHandler>();

  /** Sets who answers requests of this kind. */
  on(kind: number, handler: PeerRequestHandler): void {
    this.#handlers.set(kind, handler);
  }

  /** Answers a request: its kind in one byte, and its body (owned). Never rejects. */
  answer(request: Uint8Array): Promise<PeerAnswer> {
    const handler = this.#handlers.get(request[0]);
    if (handler === undefined) return Promise.resolve(internalError());
    return handler(request.subarray(1)).catch(internalError);
  }
}

/** Payload of a `peerResponse` record. */
export function encodePeerAnswer({ status, contentType, body }: PeerAnswer): Uint8Array {
  const payload = new Uint8Array(HEAD_BYTES + body.length);
  new DataView(payload.buffer).setUint16(0, status, true);
  payload[2] = contentType;
  payload.set(body, HEAD_BYTES);
  return payload;
}
