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
  ): Promise<MessageShape<O>> {
    const path = `/${method.parent.typeName}/${method.name}`;
    const bytes = toBinary(method.input, create(method.input, request));
    return fromBinary(method.output, await this.callBytes(path, bytes));
  }

  /** One unary call of the given request bytes; the response's bytes. */
  callBytes(path: string, request: Uint8Array): Promise<Buffer> {
    const deadline = Date.now() + this.#deadlineMs;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        identity,
        identity,
        Buffer.from(request),
        { deadline },
        (error, response) => {
          if (error !== null) reject(error);
          else resolve(response as Buffer);
        },
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
