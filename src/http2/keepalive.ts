/**
 * Pings both ways, with grpc-go's rules. Clients that ping too often get GOAWAY `too_many_pings`; an idle connection is pinged,
 * and closed when nothing comes back.
 */

/** Bad pings forgiven before the connection is closed (grpc-go's number). */
const PING_STRIKES_MAX = 2;
/** Without a stream, pings must be this far apart, whatever the configured minimum (grpc-go's number). */
const IDLE_PING_SPACING_MS = 7_200_000;
/** What an unset minimum means (grpc-go's number). */
const DEFAULT_PING_SPACING_MS = 300_000;

/** Times in ms; see `TransportLimits`. 0 turns interval and timeout off. */
export interface KeepaliveLimits {
  readonly keepaliveMinTimeMs: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
}

/** What {@link Keepalive.check} wants done. */
export const KEEPALIVE_WAIT = 0;
export const KEEPALIVE_SEND_PING = 1;
export const KEEPALIVE_DEAD = 2;

export class Keepalive {
  readonly #limits: KeepaliveLimits;
  #lastPingMs = -Infinity;
  #strikes = 0;
  #lastReadMs: number;
  /** When our unanswered ping left, or -1. */
  #pingSentMs = -1;

  constructor(limits: KeepaliveLimits, nowMs: number) {
    this.#limits = limits;
    this.#lastReadMs = nowMs;
  }

  /** Anything came from the client. */
  onRead(nowMs: number): void {
    this.#lastReadMs = nowMs;
    this.#pingSentMs = -1;
  }

  /** HEADERS or DATA were sent: pings that follow are the client measuring, not keeping alive. */
  onResponse(): void {
    this.#strikes = 0;
    this.#lastPingMs = -Infinity;
  }

  /** A ping came. False: too many. */
  allowPing(nowMs: number, activeStreams: number): boolean {
    const minTimeMs = this.#limits.keepaliveMinTimeMs || DEFAULT_PING_SPACING_MS;
    const spacingMs = activeStreams === 0 ? IDLE_PING_SPACING_MS : minTimeMs;
    if (nowMs - this.#lastPingMs < spacingMs) this.#strikes++;
    this.#lastPingMs = nowMs;
    return this.#strikes <= PING_STRIKES_MAX;
  }

  check(nowMs: number): number {
    const { keepaliveIntervalMs, keepaliveTimeoutMs } = this.#limits;
    if (keepaliveIntervalMs <= 0) return KEEPALIVE_WAIT;
    if (this.#pingSentMs >= 0) {
      return keepaliveTimeoutMs > 0 && nowMs - this.#pingSentMs >= keepaliveTimeoutMs
        ? KEEPALIVE_DEAD
        : KEEPALIVE_WAIT;
    }
    if (nowMs - this.#lastReadMs < keepaliveIntervalMs) return KEEPALIVE_WAIT;
    this.#pingSentMs = nowMs;
    return KEEPALIVE_SEND_PING;
  }
}
