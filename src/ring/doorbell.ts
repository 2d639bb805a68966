/**
 * The doorbell of a consumer thread: an eventcount (a sequence and a sleeping flag) shared by all its inbound rings.
 *
 * ```
 *   consumer                                producer
 *   ────────                                ────────
 *   sleeping = 1                            publish records (tail moves)
 *   seen = sequence                         if exchange(sleeping, 0) == 1:
 *   all rings empty? ── no ─▶ sleeping = 0      sequence += 1, notify
 *        │ yes
 *   wait while sequence == seen
 * ```
 *
 * A consumer may nap instead (sleeping = 2): it comes back by itself soon, and is only woken by who rings urgently.
 *
 * Both sides use sequentially consistent atomics, so either the consumer sees the records or the producer sees the sleeper;
 * a wake-up cannot be lost. Only a sleeper is notified, and only by the first producer that finds it.
 */

const SEQUENCE = 0;
const SLEEPING = 1;
const CONTROL = 2;

// What SLEEPING says; 0 = awake.
const ASLEEP = 1;
const NAPPING = 2;

/** Bytes of shared memory that one doorbell takes: a cache line, so that two doorbells never share one. */
export const DOORBELL_BYTES = 64;

/** Makes the memory of a doorbell; hand it to every producer thread and to the consumer. */
export function createDoorbellMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(DOORBELL_BYTES);
}

/** One doorbell over shared memory; each thread makes its own object over the same memory. */
export class Doorbell {
  readonly #words: Int32Array;
  /** A wait that has not ended yet: a second one beside it would miss the notification, which goes to the first. */
  #waiter: Promise<void> | null = null;

  constructor(memory: SharedArrayBuffer | ArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  /** Producer: wakes the consumer if it sleeps, and leaves it alone if it naps. Returns true if it woke it. */
  ring(): boolean {
    return this.#wake(ASLEEP);
  }

  /** Producer: wakes the consumer if it sleeps or naps. Returns true if it did. */
  ringUrgently(): boolean {
    return this.#wake(Atomics.load(this.#words, SLEEPING));
  }

  #wake(state: number): boolean {
    const words = this.#words;
    if (state === 0 || Atomics.load(words, SLEEPING) !== state) return false;
    if (Atomics.compareExchange(words, SLEEPING, state, 0) !== state) return false;
    Atomics.add(words, SEQUENCE, 1);
    Atomics.notify(words, SEQUENCE, 1);
    return true;
  }

  /** Any thread: asks a blocking consumer to return to its event loop once (a message is waiting there), and wakes it. */
  requestControl(): void {
    Atomics.store(this.#words, CONTROL, 1);
    this.ringUrgently();
  }

  /** Consumer: true once after {@link requestControl}. */
  takeControlRequest(): boolean {
    if (Atomics.load(this.#words, CONTROL) === 0) return false;
    return Atomics.exchange(this.#words, CONTROL, 0) === 1;
  }

  /**
   * Consumer: announces sleep and returns the sequence to sleep on. The caller must check all its rings after this call, and
   * then either {@link awake} or sleep.
   */
  prepareSleep(): number {
    return this.#prepare(ASLEEP);
  }

  /** Consumer: the same for a nap, which {@link ring} does not end: what comes meanwhile can wait until it does. */
  prepareNap(): number {
    return this.#prepare(NAPPING);
  }

  #prepare(state: number): number {
    Atomics.store(this.#words, SLEEPING, state);
    return Atomics.load(this.#words, SEQUENCE);
  }

  /** Consumer: takes the announcement back. */
  awake(): void {
    Atomics.store(this.#words, SLEEPING, 0);
  }

  /** Consumer: blocks the thread until rung after `sequence`, or for `timeoutMs`. */
  sleep(sequence: number, timeoutMs: number): void {
    // A control request that came before the announcement has rung nobody.
    if (Atomics.load(this.#words, CONTROL) === 0) Atomics.wait(this.#words, SEQUENCE, sequence, timeoutMs);
    this.awake();
  }

  /**
   * Consumer that keeps its event loop: resolves when rung after `sequence`. Undefined: rung already, do not wait.
   * A promise of an earlier call that was not waited for is returned again. It alone does not keep the thread alive; a worker
   * needs a handle besides (its message port).
   */
  sleepAsync(sequence: number): Promise<void> | undefined {
    if (this.#waiter !== null) {
      return Atomics.load(this.#words, SEQUENCE) === sequence ? this.#waiter : undefined;
    }
    const result = Atomics.waitAsync(this.#words, SEQUENCE, sequence);
    if (!result.async) return undefined;
    this.#waiter = result.value.then(this.#rung);
    return this.#waiter;
  }

  readonly #rung = (): void => {
    this.#waiter = null;
  };
}
