/**
 * A thin gRPC client for tests: one connection, generated message types, nothing retried and nothing hidden. `callBytes`
 * sends any bytes, also such as no generated type can express.
 */
import * as grpc from "@grpc/grpc-js";
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";

// No call of a test takes this long unless the member hangs; a hung call must end as a failure and not as a stuck run.
const DEADLINE_MS = 30_000;

/** Options of one connection. */
export interface EtcdClientOptions {
  /** Longest a call may take, in ms. */
  readonly deadlineMs?: number;
}

/** An unsuccessful answer as the tests compare it. */
export interface GrpcFailure {
  readonly code: number;
  readonly message: string;
}

const identity = (bytes: Buffer): Buffer => bytes;

/** A call in which both sides go on sending. Ends when either side says so; see {@link BidiStream.ended}. */
export class BidiStream<I extends DescMessage, O extends DescMessage> {
  /** Resolves with the status when the call is over, whatever the status is. */
  readonly ended: Promise<GrpcFailure>;
  readonly #call: grpc.ClientDuplexStream<Buffer, Buffer>;
  readonly #input: I;

  /** `onMessage` gets each response and its size in bytes; its bytes are the receiver's own. */
  constructor(
    call: grpc.ClientDuplexStream<Buffer, Buffer>,
    method: DescMethodBiDiStreaming<I, O>,
    onMessage: (message: MessageShape<O>, size: number) => void,
  ) {
    this.#call = call;
    this.#input = method.input;
    // A Buffer would give Buffers as the message's bytes.
    call.on("data", (bytes: Buffer) =>
      onMessage(fromBinary(method.output, new Uint8Array(bytes)), bytes.length),
    );
    call.on("error", () => undefined);
    this.ended = new Promise((resolve) => {
      call.on("status", ({ code, details }: grpc.StatusObject) => resolve({ code, message: details }));
    });
  }

  send(request: MessageInitShape<I>): void {
    this.#call.write(Buffer.from(toBinary(this.#input, create(this.#input, request))));
  }

  /** Says that nothing more is sent. */
  finish(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** A paused stream is not read: flow control holds the member back. */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }
}

/** One connection to one member. */
export class EtcdClient {
  readonly #client: grpc.Client;
  readonly #deadlineMs: number;

  /** `address` is `host:port`, without a scheme. */
  constructor(address: string, options: EtcdClientOptions = {}) {
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_retries": 0,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 200,
    });
  }

  /** One unary call. Rejects with grpc-js's `ServiceError`; see {@link failureOf}. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<MessageShape<O>> {
    const path = `/${method.parent.typeName}/${method.name}`;
    const bytes = toBinary(method.input, create(method.input, request));
    return fromBinary(method.output, await this.callBytes(path, bytes, headers));
  }

  /** One unary call of the given request bytes; the response's bytes. */
  callBytes(
    path: string,
    request: Uint8Array,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Buffer> {
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const deadline = Date.now() + this.#deadlineMs;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        identity,
        identity,
        Buffer.from(request),
        metadata,
        { deadline },
        (error, response) => {
          if (error !== null) reject(error);
          else resolve(response as Buffer);
        },
      );
    });
  }

  /** A call in which both sides stream, without a deadline unless one is given. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    onMessage: (message: MessageShape<O>, size: number) => void,
    options: grpc.CallOptions = {},
  ): BidiStream<I, O> {
    const path = `/${method.parent.typeName}/${method.name}`;
    return new BidiStream(
      this.#client.makeBidiStreamRequest(path, identity, identity, options),
      method,
      onMessage,
    );
  }

  /** Sends one request on a call of its own in which both sides stream; the first response's message. */
  async callStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      const stream = this.stream(
        method,
        (message) => {
          resolve(message);
          stream.finish();
        },
        { deadline: Date.now() + this.#deadlineMs },
      );
      stream.send(request);
      void stream.ended.then(({ code, message }) =>
        reject(Object.assign(new Error(`${code} ${message}`), { code, details: message })),
      );
    });
  }

  /** Resolves once the connection is up; rejects after `boundMs`. */
  connect(boundMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + boundMs, (error) =>
        error === undefined ? resolve() : reject(error),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** Code and message of an error that {@link EtcdClient} rejected with; anything else is thrown on. */
export function failureOf(error: unknown): GrpcFailure {
  const { code, details } = error as Partial<grpc.ServiceError>;
  if (typeof code !== "number" || typeof details !== "string") throw error;
  return { code, message: details };
}

/** Connects to `address` for as long as `use` runs. */
export async function withClient<T>(
  { address }: { readonly address: string },
  use: (client: EtcdClient) => Promise<T>,
): Promise<T> {
  const client = new EtcdClient(address);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}
