import { copyBytes } from "../base/copy-bytes.ts";
import { ResponseHeader } from "../proto/kv-encode.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { type MemberIdentity, responseHeader } from "../proto/response-header.ts";
import { varint64Bytes, writeVarint64 } from "../proto/wire.ts";

/** Room in front of the events: header at most 46 bytes, watch id 11. */
const EVENTS_AT = 64;
const TAG_WATCH_ID = 0x10;
/** A buffer grown by one long response is given back beyond this. */
const BUFFER_KEPT_BYTES_MAX = 1024 * 1024;

/**
 * WatchResponses out of header, watch id and events. The events lie once behind room for the rest, so that the next watcher costs its
 * id and the copy into its socket buffer.
 */
export class WatchMessages {
  /** The message is `bytes[start, end)` after {@link setWatchId} or {@link control}, until the next one. */
  bytes: Uint8Array = new Uint8Array(4096);
  start = EVENTS_AT;
  end = EVENTS_AT;
  readonly #identity: MemberIdentity;
  readonly #header: ResponseHeader;
  #revision = 0;
  #term = 0;
  /** Bytes of the watch id field for which the header is in place; -1 = for none. */
  #idBytes = -1;

  constructor(identity: MemberIdentity) {
    this.#identity = identity;
    this.#header = new ResponseHeader(identity.clusterId, identity.memberId);
  }

  /** The next messages have these events: fields 11 in `events[start, end)`, copied. */
  begin(term: number, revision: number, events: Uint8Array, start: number, end: number): void {
    const length = EVENTS_AT + end - start;
    if (this.bytes.length < length) this.bytes = new Uint8Array(length * 2);
    else if (this.bytes.length > BUFFER_KEPT_BYTES_MAX) this.bytes = new Uint8Array(Math.max(4096, length));
    copyBytes(events, start, end, this.bytes, EVENTS_AT);
    this.end = length;
    this.#revision = revision;
    this.#idBytes = -1;
    if (term === this.#term) return;
    this.#term = term;
    this.#header.setTerm(term);
  }

  /** Makes the message of this watch. */
  setWatchId(low: number, high: number): void {
    // Zero is left out, as proto3 does.
    const idBytes = (low | high) === 0 ? 0 : 1 + varint64Bytes(low, high);
    if (idBytes !== this.#idBytes) {
      this.#idBytes = idBytes;
      this.start = EVENTS_AT - idBytes - this.#header.fieldBytes(this.#revision);
      this.#header.write(this.bytes, this.start, this.#revision);
    }
    if (idBytes === 0) return;
    this.bytes[EVENTS_AT - idBytes] = TAG_WATCH_ID;
    writeVarint64(this.bytes, EVENTS_AT - idBytes + 1, low, high);
  }

  /** Makes a message of the header and the fields in `bytes[start, end)`, without a watch id. Revision 0 is left out of the header. */
  control(term: number, revision: number, bytes: Uint8Array, start: number, end: number): void {
    this.begin(term, revision, bytes, start, end);
    if (revision > 0) return this.setWatchId(0, 0);
    const header = new MessageBuilder().message(1, responseHeader(this.#identity, revision, term)).finish();
    this.start = EVENTS_AT - header.length;
    this.bytes.set(header, this.start);
  }
}
