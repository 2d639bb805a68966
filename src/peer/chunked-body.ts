/** Takes the chunked transfer coding off a body (RFC 9112, 7.1), piece by piece as it comes, without a copy. */

/** What {@link ChunkedBody.push} answers. */
export const BODY_GOES_ON = 0;
export const BODY_ENDED = 1;
export const BODY_MALFORMED = -1;

/** Longest line of size and extensions, and longest trailer section; Go's limit for the former. */
const LINE_BYTES_MAX = 4096;
/** Digits that make no number beyond 2^52. */
const SIZE_DIGITS_MAX = 13;

const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;
const SEMICOLON = 0x3b;

const State = { size: 0, extension: 1, data: 2, dataEnd: 3, trailer: 4, ended: 5 } as const;

export class ChunkedBody {
  readonly #take: (bytes: Uint8Array, start: number, end: number) => void;
  #state: number = State.size;
  /** Bytes of this chunk that are still to come; while its size is read, the size so far. */
  #left = 0;
  #digits = 0;
  /** Bytes of the line, or of the trailer section, so far. */
  #lineBytes = 0;
  /** The line of the trailer section so far is empty. */
  #isLineEmpty = true;

  /** @param take gets what the chunks hold, borrowed */
  constructor(take: (bytes: Uint8Array, start: number, end: number) => void) {
    this.#take = take;
  }

  /** Hands on the content of `bytes[start, end)`. What follows the end of the body is ignored. */
  push(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && this.#state !== State.ended) {
      if (this.#state === State.data) {
        const count = Math.min(this.#left, end - at);
        this.#take(bytes, at, at + count);
        at += count;
        this.#left -= count;
        if (this.#left === 0) this.#state = State.dataEnd;
      } else if (!this.#line(bytes[at++])) return BODY_MALFORMED;
    }
    return this.#state === State.ended ? BODY_ENDED : BODY_GOES_ON;
  }

  /** One byte of what is not content. False: it does not belong there. */
  #line(byte: number): boolean {
    if (++this.#lineBytes > LINE_BYTES_MAX) return false;
    switch (this.#state) {
      case State.size:
        return byte === CR || byte === LF || byte === SEMICOLON || byte === 0x20
          ? this.#sizeEnds(byte)
          : this.#digit(byte);
      case State.extension:
        if (byte === LF) this.#chunkBegins();
        return true;
      case State.dataEnd:
        if (byte === CR) return this.#lineBytes === 1;
        if (byte !== LF) return false;
        this.#state = State.size;
        this.#beginLine();
        return true;
      default:
        return this.#trailer(byte);
    }
  }

  #digit(byte: number): boolean {
    const letter = (byte | 0x20) - 0x61;
    const digit =
      byte >= ZERO && byte <= ZERO + 9 ? byte - ZERO : letter >= 0 && letter < 6 ? letter + 10 : -1;
    if (digit < 0) return false;
    // Zeros in front are no digits of the number.
    if (this.#left > 0 || digit > 0) this.#digits++;
    this.#left = this.#left * 16 + digit;
    return this.#digits <= SIZE_DIGITS_MAX;
  }

  #sizeEnds(byte: number): boolean {
    if (this.#lineBytes === 1) return false;
    if (byte === LF) this.#chunkBegins();
    else this.#state = State.extension;
    return true;
  }

  #chunkBegins(): void {
    this.#state = this.#left === 0 ? State.trailer : State.data;
    this.#beginLine();
  }

  #beginLine(): void {
    this.#digits = 0;
    this.#lineBytes = 0;
    this.#isLineEmpty = true;
  }

  /** The section ends with an empty line. */
  #trailer(byte: number): boolean {
    if (byte === LF) {
      if (this.#isLineEmpty) this.#state = State.ended;
      this.#isLineEmpty = true;
    } else if (byte !== CR) this.#isLineEmpty = false;
    return true;
  }
}
