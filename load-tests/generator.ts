/**
 * The closed-loop load generator: `connections` x `streams` slots, each of which sends its next request when the last one is
 * answered. For what h2load cannot do: different requests, requests that depend on answers, and grpc-status.
 */
import { LoadConnection, type Caller } from "./generator-connection.ts";
import { Latencies, type Percentiles } from "./latencies.ts";
import type { RequestBody } from "./requests.ts";

/** What one slot sends. */
export interface Script {
  /** The next request, or undefined when this slot is done. */
  next(): RequestBody | undefined;
  /** The answer's message, if `wantsAnswer`. */
  answered?(message: Buffer): void;
}

/** Shape and length of a run. */
export interface GeneratorOptions {
  readonly address: string;
  readonly connections: number;
  readonly streams: number;
  /** No request is sent after this long; answers are awaited. Infinity: until all scripts are done. */
  readonly seconds: number;
  /** Makes the script of a slot. */
  readonly script: (slot: number) => Script;
  /** Ends the run early. */
  readonly signal?: AbortSignal;
}

/** What came of a run. Requests that failed are an exception and not a figure. */
export interface GeneratorResult extends Percentiles {
  readonly requests: number;
  readonly seconds: number;
}

/** Runs a load to its end. Throws if any call ends with a status other than OK. */
export async function generate(options: GeneratorOptions): Promise<GeneratorResult> {
  const connections = await Promise.all(
    Array.from({ length: options.connections }, () => LoadConnection.open(options.address)),
  );
  const run = new Run(options);
  const broken = Promise.race(connections.map((connection) => connection.closed));
  try {
    const slots = connections.flatMap((connection, c) =>
      Array.from(
        { length: options.streams },
        (_, s) => new Slot(run, connection, options.script(c * options.streams + s)).finished,
      ),
    );
    await Promise.race([Promise.all(slots), broken]);
  } finally {
    for (const connection of connections) connection.close();
  }
  return { requests: run.latencies.count, seconds: run.elapsedSeconds, ...run.latencies.percentiles() };
}

/** Clock and samples that all slots of a run share. */
class Run {
  readonly latencies = new Latencies();
  readonly #start = performance.now();
  readonly #end: number;
  readonly #signal: AbortSignal | undefined;
  #last = this.#start;

  constructor(options: GeneratorOptions) {
    this.#end = this.#start + options.seconds * 1000;
    this.#signal = options.signal;
  }

  get elapsedSeconds(): number {
    return (this.#last - this.#start) / 1000;
  }

  isOver(now: number): boolean {
    return now >= this.#end || (this.#signal?.aborted ?? false);
  }

  note(sentAt: number, now: number): void {
    this.#last = now;
    this.latencies.add(now - sentAt);
  }
}

class Slot implements Caller {
  readonly finished: Promise<void>;
  readonly #run: Run;
  readonly #connection: LoadConnection;
  readonly #script: Script;
  readonly #pieces: Buffer[] = [];
  #sentAt = 0;
  #done: () => void = () => undefined;
  #failed: (error: Error) => void = () => undefined;

  constructor(run: Run, connection: LoadConnection, script: Script) {
    this.#run = run;
    this.#connection = connection;
    this.#script = script;
    this.finished = new Promise((resolve, reject) => {
      this.#done = resolve;
      this.#failed = reject;
    });
    this.#sendNext(performance.now());
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.#script.answered !== undefined) this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
  }

  onEnd(grpcStatus: string): void {
    const now = performance.now();
    if (grpcStatus !== "0") return this.#failed(new Error(`a call ended with grpc-status ${grpcStatus}`));
    this.#run.note(this.#sentAt, now);
    if (this.#script.answered !== undefined) {
      this.#script.answered(Buffer.concat(this.#pieces).subarray(5));
      this.#pieces.length = 0;
    }
    this.#sendNext(now);
  }

  #sendNext(now: number): void {
    const request = this.#run.isOver(now) ? undefined : this.#script.next();
    if (request === undefined) return this.#done();
    this.#sentAt = now;
    this.#connection.send(request, this);
  }
}
