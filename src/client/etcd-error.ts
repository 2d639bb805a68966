/** What a call rejects with: the gRPC status of a server, or what kept the call from reaching one. */
import { ERRORS, GRPC_CODE_NAMES } from "../base/errors.ts";

/** Texts that stand for themselves, without the gRPC wrapper around them. */
const KNOWN_TEXTS: ReadonlySet<string> = new Set(ERRORS.slice(1).map((row) => row.message));

/** A failed call. `message` is etcd's own text for errors that etcd knows, the full gRPC status for all others. */
export class EtcdError extends Error {
  /** gRPC status code. */
  readonly code: number;
  /** The status as it came, `rpc error: code = NotFound desc = …`. */
  readonly status: string;

  constructor(code: number, description: string, message?: string) {
    const status = `rpc error: code = ${GRPC_CODE_NAMES[code] ?? `Code(${code})`} desc = ${description}`;
    super(message ?? (KNOWN_TEXTS.has(description) ? description : status));
    this.name = "EtcdError";
    this.code = code;
    this.status = status;
  }
}
