/**
 * One decoded header block, and the rules of RFC 9113 section 8 for it. Immutable once decoded, all but its timeout: blocks of one
 * connection with the same fields share an instance, so nothing else of a single request may be stored in it.
 */
import {
  FIELD_AUTHORITY,
  FIELD_CONTENT_LENGTH,
  FIELD_CONTENT_TYPE,
  FIELD_GRPC_ACCEPT_ENCODING,
  FIELD_GRPC_ENCODING,
  FIELD_GRPC_TIMEOUT,
  FIELD_INVALID,
  FIELD_METHOD,
  FIELD_OTHER,
  FIELD_PATH,
  FIELD_SCHEME,
} from "./header-field.ts";
import type { HeaderField } from "./header-field.ts";

/** Longest decimal that stays exact. */
const CONTENT_LENGTH = /^[0-9]{1,15}$/;

export class HeaderBlock {
  /** All fields but `grpc-timeout`, pseudo-headers too, as received; cut off where the list grew {@link tooLarge}. */
  readonly fields: HeaderField[] = [];
  method: string | undefined = undefined;
  scheme: string | undefined = undefined;
  path: string | undefined = undefined;
  authority: string | undefined = undefined;
  contentType: string | undefined = undefined;
  /** The first `grpc-timeout` of the block decoded last: to be looked at before the next one is decoded. */
  grpcTimeout: HeaderField | null = null;
  grpcEncoding: string | undefined = undefined;
  grpcAcceptEncoding: string | undefined = undefined;
  /** -1 without a content-length. */
  contentLength = -1;
  /** The list is beyond HEADER_LIST_BYTES_MAX. */
  tooLarge = false;
  /** What the layer above derived from this block; it lives as long as the block is cached. */
  memo: unknown = undefined;
  #malformed = false;
  #pseudoFields = 0;
  #regularSeen = false;

  /** Takes the next field in order. */
  add(field: HeaderField): void {
    const kind = field.kind;
    if (kind !== FIELD_GRPC_TIMEOUT) this.fields.push(field);
    if (kind >= FIELD_METHOD && kind <= FIELD_AUTHORITY) this.#addPseudo(kind, field.value);
    else {
      this.#regularSeen = true;
      if (kind !== FIELD_OTHER) this.#addKnown(kind, field.value);
    }
  }

  #addPseudo(kind: number, value: string): void {
    this.#pseudoFields++;
    if (this.#regularSeen) this.#malformed = true;
    if (kind === FIELD_METHOD) {
      if (this.method !== undefined) this.#malformed = true;
      this.method = value;
    } else if (kind === FIELD_PATH) {
      if (this.path !== undefined || value === "") this.#malformed = true;
      this.path = value;
    } else if (kind === FIELD_SCHEME) {
      if (this.scheme !== undefined) this.#malformed = true;
      this.scheme = value;
    } else {
      if (this.authority !== undefined) this.#malformed = true;
      this.authority = value;
    }
  }

  #addKnown(kind: number, value: string): void {
    if (kind === FIELD_INVALID) this.#malformed = true;
    else if (kind === FIELD_CONTENT_TYPE) this.contentType ??= value;
    else if (kind === FIELD_GRPC_ENCODING) this.grpcEncoding ??= value;
    else if (kind === FIELD_GRPC_ACCEPT_ENCODING) this.grpcAcceptEncoding ??= value;
    else if (kind === FIELD_CONTENT_LENGTH) this.#addContentLength(value);
  }

  #addContentLength(value: string): void {
    const length = CONTENT_LENGTH.test(value) ? Number(value) : -1;
    if (length === -1 || (this.contentLength !== -1 && this.contentLength !== length)) this.#malformed = true;
    else this.contentLength = length;
  }

  /** True if this may open a request (RFC 9113 section 8.3.1). */
  isRequest(): boolean {
    if (this.#malformed || this.method === undefined) return false;
    if (this.method === "CONNECT") {
      return this.authority !== undefined && this.scheme === undefined && this.path === undefined;
    }
    return this.scheme !== undefined && this.path !== undefined;
  }

  /** True if this may end a request as its trailers: no pseudo-headers there (section 8.1). */
  isTrailers(): boolean {
    return !this.#malformed && this.#pseudoFields === 0;
  }

  /** First value of a lower-case name. */
  get(name: string): string | undefined {
    for (const field of this.fields) if (field.name === name) return field.value;
    return undefined;
  }
}
