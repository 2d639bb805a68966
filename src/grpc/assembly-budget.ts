/** Bytes of unfinished request messages that one connection may pin. */
const CONNECTION_BYTES_MAX = 268_435_456;
/** The same of all connections together, unless set otherwise. */
const TOTAL_BYTES_MAX = 536_870_912;

/** What the connections of a server have between them. */
export class AssemblyTotal {
  bytes = 0;
  readonly bytesMax: number;

  constructor(bytesMax = TOTAL_BYTES_MAX) {
    this.bytesMax = bytesMax;
  }
}

/** Counts the buffers of a connection's unfinished request messages. */
export class AssemblyBudget {
  readonly #total: AssemblyTotal;
  #bytes = 0;

  constructor(total: AssemblyTotal) {
    this.#total = total;
  }

  /** Buffers have grown by so much; less than 0: they have gone. */
  add(bytes: number): void {
    this.#bytes += bytes;
    this.#total.bytes += bytes;
  }

  /** Why there is no room for what has been added, or null. */
  excess(): string | null {
    if (this.#bytes > CONNECTION_BYTES_MAX) return "too many unfinished request messages on the connection";
    if (this.#total.bytes > this.#total.bytesMax) return "too many unfinished request messages on the server";
    return null;
  }
}
