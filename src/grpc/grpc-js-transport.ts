/**
 * The service table on @grpc/grpc-js: the second, slower transport (`--grpc-transport=grpc-js`), there so that every behaviour of the native
 * one can be compared. What it lacks: HTTP/1.1 on the gRPC port (`http1` and `onConnection` are ignored), ping enforcement,
 * and grpc-go's texts where grpc-js answers before the table is asked (unknown paths, messages too large).
 */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { MethodDefinition, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";

import { GrpcJsCall } from "./grpc-js-call.ts";
import type { RawStream } from "./grpc-js-call.ts";
import type { ListenAddress, ListeningTransport, ListenOptions } from "./native-transport.ts";
import { createMethodCounters } from "./service.ts";
import type {
  CallTracer,
  CallWatcher,
  GrpcCounters,
  MethodCounters,
  MethodHandler,
  ServiceTable,
  TransportLimits,
} from "./service.ts";

/** Longest delay that a timer takes. */
const TIMER_MS_MAX = 0x7fff_ffff;

/** Starts the table on grpc-js; see the file's head for what it lacks beside `listenNative`. */
export async function listenGrpcJs(options: ListenOptions): Promise<ListeningTransport> {
  const transport = new GrpcJsTransport(options);
  try {
    for (const address of options.listeners) await transport.listen(address);
  } catch (error) {
    await transport.drain(0);
    throw error;
  }
  return transport;
}

class GrpcJsTransport implements ListeningTransport {
  readonly #server: Server;
  readonly #counters: GrpcCounters;
  readonly #tracer: CallTracer | null;
  readonly #watcher: CallWatcher | undefined;
  readonly #addresses: ListenAddress[] = [];
  readonly #streams = new Set<RawStream>();
  #paused = false;
  #drained: Promise<void> | undefined = undefined;

  constructor(options: ListenOptions) {
    this.#counters = options.counters ?? new Map<string, MethodCounters>();
    this.#tracer = options.tracer ?? null;
    this.#watcher = options.watcher;
    this.#server = new Server(channelOptions(options.limits));
    for (const [definition, implementation] of this.#definitions(options.services)) {
      this.#server.addService(definition, implementation);
    }
  }

  async listen(address: ListenAddress): Promise<void> {
    const target = "path" in address ? `unix:${address.path}` : `${bracket(address.host)}:${address.port}`;
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(target, ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    this.#addresses.push("path" in address ? address : { host: address.host, port });
  }

  addresses(): ListenAddress[] {
    return this.#addresses;
  }

  /** Nothing to do: grpc-js writes at once. */
  flush(): void {}

  setPaused(paused: boolean): void {
    this.#paused = paused;
    for (const stream of this.#streams) {
      if (paused) stream.pause();
      else stream.resume();
    }
  }

  drain(graceMs: number): Promise<void> {
    this.#drained ??= this.#drain(graceMs);
    return this.#drained;
  }

  async #drain(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    const deadline = setTimeout(() => this.#server.forceShutdown(), Math.min(graceMs, TIMER_MS_MAX));
    this.setPaused(false);
    await closed;
    clearTimeout(deadline);
  }

  *#definitions(services: ServiceTable): Generator<[ServiceDefinition, UntypedServiceImplementation]> {
    for (const method of services.values()) {
      const name = method.path.slice(method.path.lastIndexOf("/") + 1);
      const counters = this.#counters.get(method.path) ?? createMethodCounters();
      yield [
        { [name]: rawDefinition(method) },
        { [name]: (stream: RawStream) => this.#onCall(stream, method, counters) },
      ];
    }
  }

  #onCall(stream: RawStream, method: MethodHandler, counters: MethodCounters): void {
    this.#streams.add(stream);
    stream.once("close", () => this.#streams.delete(stream));
    new GrpcJsCall(stream, method, counters, this.#tracer, this.#watcher).start();
    if (this.#paused) stream.pause();
  }
}

function rawDefinition(method: MethodHandler): MethodDefinition<Buffer, Buffer> {
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    path: method.path,
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

function channelOptions(limits: TransportLimits): Record<string, number> {
  const options: Record<string, number> = {
    "grpc.max_receive_message_length": limits.receiveBytesMax,
    "grpc.max_send_message_length": -1,
    "grpc.max_concurrent_streams": limits.concurrentStreamsMax,
  };
  if (limits.keepaliveIntervalMs > 0)
    options["grpc.keepalive_time_ms"] = Math.min(limits.keepaliveIntervalMs, TIMER_MS_MAX);
  if (limits.keepaliveTimeoutMs > 0) options["grpc.keepalive_timeout_ms"] = limits.keepaliveTimeoutMs;
  return options;
}

function bracket(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
