/** One watch as its user sees it: a sequence of responses, complete and in order over lost connections, until it is cancelled. */
import type { WatchResponse } from "../proto/gen/rpc_pb.ts";
import { ERRORS, ErrorId, GrpcCode } from "../base/errors.ts";
import { EtcdError } from "./etcd-error.ts";

/** Queued events above which a watcher counts as slow: it is then cut off at the server until its user has read them. */
export const QUEUED_EVENTS_MAX = 16 * 1024;

/** The server has ended the watch, mostly because its revisions are compacted. */
export class WatchCanceledError extends EtcdError {
  /** The server's last words. */
  readonly response: WatchResponse;
  /** First revision that can be watched from, if the wanted ones are compacted; 0 otherwise. */
  readonly compactRevision: bigint;

  constructor(response: WatchResponse) {
    const { created, compactRevision, cancelReason } = response;
    if (compactRevision !== 0n) super(GrpcCode.outOfRange, ERRORS[ErrorId.compacted].message);
    else if (cancelReason === "") super(GrpcCode.outOfRange, ERRORS[ErrorId.futureRev].message);
    // The reason of a refused creation is a text of its own, often a whole gRPC status.
    else super(GrpcCode.failedPrecondition, cancelReason, created ? cancelReason : undefined);
    this.name = "WatchCanceledError";
    this.response = response;
    this.compactRevision = compactRevision;
  }
}

/** What a watcher tells the stream it belongs to. */
export interface WatcherEvents {
  /** Everything queued has been read. */
  readonly onDrained: () => void;
  readonly onCancel: () => void;
}

/**
 * Responses with events, and progress notifications (no events, `header.revision` = everything up to there was delivered). Iterate
 * over it once: `for await (const { events } of watcher)`. The iteration ends after {@link cancel}, and throws
 * {@link WatchCanceledError} when the server has ended the watch, EtcdError when the cluster cannot be watched at all.
 */
export class Watcher implements AsyncIterableIterator<WatchResponse, undefined> {
  /** The server's first answer. `header.revision` + 1 is where a watch without start revision begins. Rejects as the iteration does. */
  readonly created: Promise<WatchResponse>;
  readonly #events: WatcherEvents;
  readonly #resolveCreated: (response: WatchResponse) => void;
  readonly #rejectCreated: (error: Error) => void;
  #queue: WatchResponse[] = [];
  #queuedEvents = 0;
  /** Reads that wait for a response. */
  #waiting: Array<{
    resolve: (result: IteratorResult<WatchResponse, undefined>) => void;
    reject: (error: Error) => void;
  }> = [];
  /** Set at the end; null = cancelled by the user. */
  #end: { readonly error: Error | null } | undefined;

  constructor(events: WatcherEvents) {
    this.#events = events;
    const created = Promise.withResolvers<WatchResponse>();
    this.created = created.promise;
    this.created.catch(() => undefined);
    this.#resolveCreated = created.resolve;
    this.#rejectCreated = created.reject;
  }

  get isSlow(): boolean {
    return this.#queuedEvents > QUEUED_EVENTS_MAX;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<WatchResponse, undefined>> {
    const response = this.#queue.shift();
    if (response !== undefined) {
      this.#queuedEvents -= response.events.length;
      if (this.#queue.length === 0) this.#events.onDrained();
      return Promise.resolve({ done: false, value: response });
    }
    const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<WatchResponse, undefined>>();
    this.#waiting.push({ resolve, reject });
    if (this.#end !== undefined) this.#settle(this.#end.error);
    return promise;
  }

  /** Ends the watch: what a `break` out of the iteration does. */
  return(): Promise<IteratorResult<WatchResponse, undefined>> {
    this.cancel();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Ends the watch here and at the server. What was not read is dropped. */
  cancel(): void {
    if (this.#end === undefined) this.#events.onCancel();
    this.#queue = [];
    this.#queuedEvents = 0;
    this.end(null);
  }

  /** For the stream: the server knows the watch. */
  confirm(response: WatchResponse): void {
    this.#resolveCreated(response);
  }

  /** For the stream: takes over a response. */
  push(response: WatchResponse): void {
    if (this.#end !== undefined) return;
    const reader = this.#waiting.shift();
    if (reader !== undefined) return reader.resolve({ done: false, value: response });
    this.#queue.push(response);
    this.#queuedEvents += response.events.length;
  }

  /** For the stream: nothing more will come. What is queued is read first. */
  end(error: Error | null): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#rejectCreated(error ?? new EtcdError(GrpcCode.canceled, "the watch is cancelled"));
    this.#settle(error);
  }

  /** An error is thrown once; the iteration is over then. */
  #settle(error: Error | null): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const [i, reader] of waiting.entries()) {
      if (error !== null && i === 0) {
        this.#end = { error: null };
        reader.reject(error);
      } else reader.resolve({ done: true, value: undefined });
    }
  }
}
