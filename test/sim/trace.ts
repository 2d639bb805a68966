/** What has happened, as a hash over everything (equal seeds must give equal hashes) and as text for the last events. */

/** Events shown when an invariant breaks. */
const SHOWN_EVENTS = 120;

interface TraceEvent {
  atMs: number;
  who: string;
  what: string;
  a: number;
  b: number;
}

export class Trace {
  readonly #recent: TraceEvent[] = [];
  #count = 0;
  #hash = 0x811c9dc5;

  /** Events noted. */
  get count(): number {
    return this.#count;
  }

  /** Eight hex digits over all events so far. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /**
   * Notes that something happened.
   * @param what one of a few constant texts
   */
  note(atMs: number, who: string, what: string, a: number, b: number): void {
    this.#mix(Math.round(atMs * 1000));
    this.#mix(who.charCodeAt(who.length - 1) * 65_536 + what.length * 256 + what.charCodeAt(0));
    this.#mix(a);
    this.#mix(b);
    const event = { atMs, who, what, a, b };
    if (this.#recent.length < SHOWN_EVENTS) this.#recent.push(event);
    else this.#recent[this.#count % SHOWN_EVENTS] = event;
    this.#count++;
  }

  /** The last events, oldest first, a line each. */
  lastEvents(): string[] {
    const from = this.#count < SHOWN_EVENTS ? 0 : this.#count % SHOWN_EVENTS;
    const ordered = [...this.#recent.slice(from), ...this.#recent.slice(0, from)];
    return ordered.map(
      ({ atMs, who, what, a, b }) => `${(atMs / 1000).toFixed(6).padStart(14)} s  ${who}  ${what}  ${a} ${b}`,
    );
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value | 0), 0x01000193);
    this.#hash = Math.imul(this.#hash ^ (value / 0x1_0000_0000), 0x01000193) ^ (this.#hash >>> 15);
  }
}
