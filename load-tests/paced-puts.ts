/** Puts at a fixed rate whatever the answers do: latencies under a load that is the same for both members. */
import { setTimeout as delay } from "node:timers/promises";
import { LoadConnection } from "./generator-connection.ts";
import { Latencies, type Percentiles } from "./latencies.ts";
import { putRequest, VALUE_BYTES } from "./requests.ts";
import { sharedNow } from "./shared-clock.ts";

/** A connection that puts values which begin with the time of their writing. */
export class StampingWriter {
  /** Rejects when any Put fails or the connection breaks. */
  readonly failed: Promise<never>;
  readonly #connection: LoadConnection;
  #fail: (error: Error) => void = () => undefined;
  #latencies = new Latencies();
  #puts = 0;

  private constructor(connection: LoadConnection) {
    this.#connection = connection;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => undefined);
    connection.closed.catch(this.#fail);
  }

  static async connect(address: string): Promise<StampingWriter> {
    return new StampingWriter(await LoadConnection.open(address));
  }

  /** Puts answered with OK. */
  get puts(): number {
    return this.#puts;
  }

  /** Puts a key, and resolves when that is answered. Its latency counts from `dueAt` (`sharedNow`): from now, unless given. */
  put(key: Buffer, dueAt = sharedNow()): Promise<void> {
    const value = Buffer.alloc(VALUE_BYTES, "v");
    const sentAt = sharedNow();
    value.writeDoubleLE(sentAt);
    const answered = new Promise<void>((resolve) => {
      this.#connection.send(putRequest(key, value), {
        onData: () => undefined,
        onEnd: (status) => {
          if (status !== "0") return this.#fail(new Error(`a Put ended with grpc-status ${status}`));
          this.#puts++;
          this.#latencies.add(sharedNow() - dueAt);
          resolve();
        },
      });
    });
    const outcome = Promise.race([answered, this.failed]);
    // Whoever sends many looks at them later.
    outcome.catch(() => undefined);
    return outcome;
  }

  /** Puts `perSecond` keys each second until `seconds` are over or `signal` ends it; all are answered afterwards. */
  async pace(options: {
    perSecond: number;
    seconds: number;
    key: (index: number) => Buffer;
    signal?: AbortSignal;
  }): Promise<Percentiles> {
    const { perSecond, seconds, key, signal } = options;
    this.#latencies = new Latencies();
    const startedAt = sharedNow();
    const answers: Promise<void>[] = [];
    for (let index = 0; index < perSecond * seconds; index++) {
      const dueAt = startedAt + (index * 1000) / perSecond;
      const dueIn = dueAt - sharedNow();
      if (dueIn > 0) await delay(dueIn);
      if (signal?.aborted) break;
      answers.push(this.put(key(index), dueAt));
    }
    await Promise.all(answers);
    return this.#latencies.percentiles();
  }

  close(): void {
    this.#connection.close();
  }
}
