/** What a request's headers ask for, worked out once a header block; identical blocks of a connection share the plan. */
import { GrpcCode } from "../base/errors.ts";
import type { HeaderBlock } from "../http2/header-block.ts";
import { GRPC_CONTENT_TYPE, quote } from "./grpc.ts";
import { createMethodCounters, versionCount } from "./service.ts";
import type { GrpcCounters, MethodCounters, MethodHandler, ServiceTable, VersionCount } from "./service.ts";

/** For requests that reach no handler, and servers that do not count. */
const NOT_COUNTED: MethodCounters = createMethodCounters();
const NO_VERSION_COUNT: VersionCount = versionCount(NOT_COUNTED);

export class RequestPlan {
  /** Null: the request is rejected. */
  readonly method: MethodHandler | null;
  /** The request is one message, delivered when the client half-closed. */
  readonly singleRequest: boolean;
  /** See {@link MethodHandler.paced}. */
  readonly paced: boolean;
  /** Messages with the compressed flag are gzip. */
  gzipRequest = false;
  /** Answer compressed: the client compressed its request and takes gzip. */
  gzipResponse = false;
  /** Of the answer: the request's own, with its subtype. */
  contentType = GRPC_CONTENT_TYPE;
  readonly counters: MethodCounters;
  /** W3C trace context of the request. */
  traceparent: string | undefined = undefined;
  /** Calls of this client's version. */
  version: VersionCount = NO_VERSION_COUNT;
  /** Of the answer: 200 unless the request is rejected before gRPC begins. */
  readonly httpStatus: number;
  /** Status of a rejected call. */
  readonly grpcCode: number;
  readonly message: string;

  constructor(
    method: MethodHandler | null,
    httpStatus: number,
    grpcCode: number,
    message: string,
    counters = NOT_COUNTED,
  ) {
    this.method = method;
    this.counters = counters;
    this.singleRequest = method !== null && (method.kind === "unary" || method.kind === "serverStreaming");
    this.paced = this.singleRequest && method?.paced === true;
    this.httpStatus = httpStatus;
    this.grpcCode = grpcCode;
    this.message = message;
  }
}

/** Plans a request; every text is grpc-go's. */
export function planRequest(services: ServiceTable, counters: GrpcCounters, block: HeaderBlock): RequestPlan {
  const contentType = answerType(block.contentType ?? "");
  if (contentType === "") {
    return rejectHttp(
      415,
      GrpcCode.invalidArgument,
      `invalid gRPC request content-type ${quote(block.contentType ?? "")}`,
    );
  }
  if (block.method !== "POST") {
    return rejectHttp(
      405,
      GrpcCode.internal,
      `Received a HEADERS frame with :method ${quote(block.method ?? "")} which should be POST`,
    );
  }
  const path = block.path ?? "";
  const method = services.get(path);
  if (method === undefined) return reject(GrpcCode.unimplemented, unknownPath(services, path));
  const encoding = block.grpcEncoding ?? "identity";
  if (encoding !== "identity" && encoding !== "gzip") {
    return reject(
      GrpcCode.unimplemented,
      `grpc: Decompressor is not installed for grpc-encoding ${quote(encoding)}`,
    );
  }
  const plan = new RequestPlan(method, 200, GrpcCode.ok, "", counters.get(path));
  plan.version = versionCount(plan.counters, block.get("client-api-version"));
  plan.contentType = contentType;
  plan.traceparent = block.get("traceparent");
  plan.gzipRequest = encoding === "gzip";
  plan.gzipResponse = plan.gzipRequest && acceptsGzip(block.grpcAcceptEncoding);
  return plan;
}

/** The plan of a request that would go on but for its timeout. */
export function rejectTimeout(text: string): RequestPlan {
  return rejectHttp(400, GrpcCode.internal, `malformed grpc-timeout: ${describeTimeout(text)}`);
}

function describeTimeout(text: string): string {
  if (text.length < 2) return `transport: timeout string is too short: ${quote(text)}`;
  if (text.length > 9) return `transport: timeout string is too long: ${quote(text)}`;
  if (!"HMSmun".includes(text.slice(-1))) return `transport: timeout unit is not recognized: ${quote(text)}`;
  return `strconv.ParseInt: parsing ${quote(text.slice(0, -1))}: invalid syntax`;
}

/** The content type to answer a request of this one with; empty if it is not gRPC. */
function answerType(contentType: string): string {
  if (!contentType.startsWith(GRPC_CONTENT_TYPE)) return "";
  const next = contentType[GRPC_CONTENT_TYPE.length];
  if (next !== undefined && next !== "+" && next !== ";") return "";
  const subtype = contentType.slice(GRPC_CONTENT_TYPE.length + 1).trim();
  return subtype === "" ? GRPC_CONTENT_TYPE : `${GRPC_CONTENT_TYPE}+${subtype}`;
}

function acceptsGzip(acceptEncoding: string | undefined): boolean {
  return acceptEncoding !== undefined && acceptEncoding.split(",").some((name) => name.trim() === "gzip");
}

/** grpc-go's words for a path that is not in the table. */
export function unknownPath(services: ServiceTable, path: string): string {
  const name = path.startsWith("/") ? path.slice(1) : path;
  const slash = name.lastIndexOf("/");
  if (slash < 0) return `malformed method name: ${quote(path)}`;
  const service = name.slice(0, slash);
  for (const known of services.keys()) {
    if (known.startsWith(`/${service}/`))
      return `unknown method ${name.slice(slash + 1)} for service ${service}`;
  }
  return `unknown service ${service}`;
}

function reject(grpcCode: number, message: string): RequestPlan {
  return new RequestPlan(null, 200, grpcCode, message);
}

function rejectHttp(httpStatus: number, grpcCode: number, message: string): RequestPlan {
  return new RequestPlan(null, httpStatus, grpcCode, message);
}
