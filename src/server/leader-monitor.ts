/** Election time-outs without a leader after which streams that ask for one are ended: etcd's number. */
const LEADERLESS_TIMEOUTS_MAX = 3;

/** Watches over streams that ask for a leader (`hasleader`): ends them when there has been none for 3 election time-outs. */
export class LeaderMonitor {
  readonly #electionTimeoutMs: number;
  readonly #hasLeader: () => boolean;
  readonly #streams = new Map<object, () => void>();
  #timer: NodeJS.Timeout | null = null;
  #leaderless = 0;

  constructor(electionTimeoutMs: number, hasLeader: () => boolean) {
    this.#electionTimeoutMs = electionTimeoutMs;
    this.#hasLeader = hasLeader;
  }

  /** @param end ends the stream; called once at most */
  add(stream: object, end: () => void): void {
    this.#streams.set(stream, end);
    if (this.#timer !== null) return;
    this.#leaderless = 0;
    this.#timer = setInterval(() => this.tick(), this.#electionTimeoutMs);
    this.#timer.unref();
  }

  remove(stream: object): void {
    this.#streams.delete(stream);
    if (this.#streams.size === 0) this.stop();
  }

  /** One election time-out has passed. */
  tick(): void {
    this.#leaderless = this.#hasLeader() ? 0 : this.#leaderless + 1;
    if (this.#leaderless < LEADERLESS_TIMEOUTS_MAX) return;
    const ends = [...this.#streams.values()];
    this.#streams.clear();
    this.stop();
    for (const end of ends) end();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
