/**
 * Header blocks of responses. The two of a successful call are encoded once a connection and then repeated as bytes, for as long
 * as the encoder's dynamic table stays as it was.
 */
import type { HpackEncoder } from "../http2/hpack-encoder.ts";
import { GRPC_CONTENT_TYPE } from "./grpc.ts";
import { encodeStatusMessage } from "./status-message.ts";

class CachedBlock {
  bytes: Uint8Array = new Uint8Array(0);
  generation = -1;
}

export class ResponseBlocks {
  readonly #encoder: HpackEncoder;
  readonly #headers = new CachedBlock();
  readonly #okTrailers = new CachedBlock();
  /** The block that was asked for last: `bytes[0, length)`, to be written at once. */
  bytes: Uint8Array = this.#headers.bytes;
  length = 0;

  constructor(encoder: HpackEncoder) {
    this.#encoder = encoder;
  }

  /** Response headers. */
  headers(contentType: string, gzip: boolean): void {
    const plain = !gzip && contentType === GRPC_CONTENT_TYPE;
    if (plain && this.#reuse(this.#headers)) return;
    const generation = this.#begin();
    this.#encoder.add(":status", "200", false);
    this.#encoder.add("content-type", contentType, true);
    if (gzip) this.#encoder.add("grpc-encoding", "gzip", true);
    this.#end(plain ? this.#headers : null, generation);
  }

  /** Trailers behind {@link headers}. */
  trailers(grpcCode: number, message: string): void {
    const plainOk = grpcCode === 0 && message === "";
    if (plainOk && this.#reuse(this.#okTrailers)) return;
    const generation = this.#begin();
    this.#addStatus(grpcCode, message);
    this.#end(plainOk ? this.#okTrailers : null, generation);
  }

  /** Headers and trailers in one: all there is of an answer without a message. */
  trailersOnly(httpStatus: number, contentType: string, grpcCode: number, message: string): void {
    this.#begin();
    this.#encoder.add(":status", String(httpStatus), false);
    this.#encoder.add("content-type", contentType, true);
    this.#addStatus(grpcCode, message);
    this.#end(null, -1);
  }

  /** Headers of a plain HTTP answer, for what does not speak gRPC. */
  http(status: number, contentLength: number): void {
    this.#begin();
    this.#encoder.add(":status", String(status), false);
    this.#encoder.add("content-type", "text/plain", false);
    this.#encoder.add("content-length", String(contentLength), false);
    this.#end(null, -1);
  }

  #addStatus(grpcCode: number, message: string): void {
    this.#encoder.add("grpc-status", String(grpcCode), true);
    if (message !== "") this.#encoder.add("grpc-message", encodeStatusMessage(message), false);
  }

  #reuse(block: CachedBlock): boolean {
    if (block.generation !== this.#encoder.table.generation) return false;
    this.bytes = block.bytes;
    this.length = block.bytes.length;
    return true;
  }

  /** Returns the generation under which the block may be repeated, -1 if it begins with a size update. */
  #begin(): number {
    const generation = this.#encoder.sizeUpdatePending ? -1 : this.#encoder.table.generation;
    this.#encoder.begin();
    return generation;
  }

  #end(cache: CachedBlock | null, generation: number): void {
    this.bytes = this.#encoder.bytes;
    this.length = this.#encoder.length;
    if (cache === null || generation !== this.#encoder.table.generation) return;
    cache.bytes = this.bytes.slice(0, this.length);
    cache.generation = generation;
  }
}
