/** One header field as HPACK's tables keep it: its text, what kind of field it is, and whether HTTP/2 allows it. */

/** What a field means to this server. Computed once a field, when it is decoded or enters the dynamic table. */
export const FIELD_OTHER = 0;
export const FIELD_METHOD = 1;
export const FIELD_SCHEME = 2;
export const FIELD_PATH = 3;
export const FIELD_AUTHORITY = 4;
export const FIELD_CONTENT_LENGTH = 5;
export const FIELD_CONTENT_TYPE = 6;
export const FIELD_GRPC_TIMEOUT = 7;
export const FIELD_GRPC_ENCODING = 8;
export const FIELD_GRPC_ACCEPT_ENCODING = 9;
/** Not allowed in a request: bad characters, unknown pseudo-header, connection-specific (RFC 9113 sections 8.2.1, 8.2.2, 8.3). */
export const FIELD_INVALID = 10;

const TIMEOUT_NAME = "grpc-timeout";

const KINDS = new Map<string, number>([
  [":method", FIELD_METHOD],
  [":scheme", FIELD_SCHEME],
  [":path", FIELD_PATH],
  [":authority", FIELD_AUTHORITY],
  ["content-length", FIELD_CONTENT_LENGTH],
  ["content-type", FIELD_CONTENT_TYPE],
  ["grpc-timeout", FIELD_GRPC_TIMEOUT],
  ["grpc-encoding", FIELD_GRPC_ENCODING],
  ["grpc-accept-encoding", FIELD_GRPC_ACCEPT_ENCODING],
  ["connection", FIELD_INVALID],
  ["keep-alive", FIELD_INVALID],
  ["proxy-connection", FIELD_INVALID],
  ["transfer-encoding", FIELD_INVALID],
  ["upgrade", FIELD_INVALID],
]);

/** RFC 9110 token characters without upper case. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

let nextId = 0;

/** An immutable field; shared by tables and header blocks. */
export class HeaderField {
  readonly name: string;
  /** One of the `FIELD_` numbers. */
  readonly kind: number;
  /** Size as RFC 7541 section 4.1 counts it. */
  readonly bytes: number;
  /** Differs between objects, as far as 30 bits go. */
  readonly id: number;
  /** Of a `grpc-timeout`: what it says in ms, -1 if it is malformed. Of others: 0. */
  readonly timeoutMs: number;
  /** Null while nobody has asked for the text of a timeout. */
  #value: string | null;
  /** Of a timeout without its text: the digits' number, how many there are, and the unit's character. */
  readonly #number: number;
  readonly #digits: number;
  readonly #unit: number;

  private constructor(
    name: string,
    value: string | null,
    bytes: number,
    kind: number,
    timeoutMs: number,
    number: number,
    digits: number,
    unit: number,
  ) {
    this.name = name;
    this.kind = kind;
    this.bytes = bytes;
    this.id = nextId = (nextId + 1) & 0x3fff_ffff;
    this.timeoutMs = timeoutMs;
    this.#value = value;
    this.#number = number;
    this.#digits = digits;
    this.#unit = unit;
  }

  /** Any field; its texts hold code points below 256. */
  static of(name: string, value: string): HeaderField {
    const kind = kindOf(name, value);
    return new HeaderField(
      name,
      value,
      name.length + value.length + 32,
      kind,
      kind === FIELD_GRPC_TIMEOUT ? -1 : 0,
      0,
      0,
      0,
    );
  }

  /**
   * A `grpc-timeout` of `timeoutMs`, from the `number` that stands in `digits` digits before the character `unit`. Its text is made only
   * when asked for: it is new in nearly every request, and nobody reads it.
   */
  static ofTimeout(timeoutMs: number, number: number, digits: number, unit: number): HeaderField {
    return new HeaderField(
      TIMEOUT_NAME,
      null,
      TIMEOUT_NAME.length + digits + 1 + 32,
      FIELD_GRPC_TIMEOUT,
      timeoutMs,
      number,
      digits,
      unit,
    );
  }

  get value(): string {
    return (this.#value ??=
      String(this.#number).padStart(this.#digits, "0") + String.fromCharCode(this.#unit));
  }
}

/** Stands in a list of fields where a `grpc-timeout` was. */
export const TIMEOUT_PLACE = HeaderField.of(TIMEOUT_NAME, "");

function kindOf(name: string, value: string): number {
  if (!isValue(value)) return FIELD_INVALID;
  const kind = KINDS.get(name);
  if (kind !== undefined) return kind;
  if (name === "te" && value !== "trailers") return FIELD_INVALID;
  return NAME.test(name) ? FIELD_OTHER : FIELD_INVALID;
}

/** No NUL, CR, LF anywhere; no space or tab at either end. A loop, as values that differ each time are on the hot path. */
function isValue(value: string): boolean {
  const last = value.length - 1;
  for (let i = 0; i <= last; i++) {
    const code = value.charCodeAt(i);
    if (code > 0x20) continue;
    if (code === 0 || code === 0x0d || code === 0x0a) return false;
    if ((i === 0 || i === last) && (code === 0x20 || code === 0x09)) return false;
  }
  return true;
}
