/** `grpc_server_*`: calls by service and method. The transport counts in plain fields, the families read them at a scrape. */
import type { MethodKind } from "../grpc/service.ts";
import type { Metrics, Sample } from "./metrics.ts";

/** Names of the gRPC codes as Go prints them; the index is the code. */
const CODE_NAMES = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;

const TYPE_LABELS: Readonly<Record<MethodKind, string>> = {
  unary: "unary",
  clientStreaming: "client_stream",
  serverStreaming: "server_stream",
  bidi: "bidi_stream",
};

/** Counts of one method; whoever runs its calls adds to the fields. */
export interface MethodCounters {
  started: number;
  messagesReceived: number;
  messagesSent: number;
  /** Calls that ended, by gRPC code. */
  readonly handledByCode: Float64Array;
}

/** Counters of all methods of a server, by path. Every method is shown from the start, with zeros. */
export type GrpcCounters = ReadonlyMap<string, MethodCounters>;

/** Counters for these methods, all zero. */
export function createGrpcCounters(paths: Iterable<string>): GrpcCounters {
  const counters = new Map<string, MethodCounters>();
  for (const path of paths) {
    const handledByCode = new Float64Array(CODE_NAMES.length);
    counters.set(path, { started: 0, messagesReceived: 0, messagesSent: 0, handledByCode });
  }
  return counters;
}

interface Method {
  readonly labels: Readonly<Record<string, string>>;
  readonly counters: MethodCounters;
}

/** Adds the families; `methods` says how each path is called. */
export function addGrpcMetrics(
  metrics: Metrics,
  counters: GrpcCounters,
  methods: ReadonlyMap<string, { readonly kind: MethodKind }>,
): void {
  const list: Method[] = [...counters].map(([path, counted]) => {
    const [, service = "", method = ""] = path.split("/");
    const kind = methods.get(path)?.kind ?? "unary";
    const labels = { grpc_type: TYPE_LABELS[kind], grpc_service: service, grpc_method: method };
    return { labels, counters: counted };
  });
  const add = (name: string, help: string, read: (counted: MethodCounters) => number): void => {
    const collect = (): Sample[] => list.map((m) => ({ value: read(m.counters), labels: m.labels }));
    metrics.add({ name, help, type: "counter", collect });
  };
  add("grpc_server_started_total", "RPCs started on the server.", (counted) => counted.started);
  add("grpc_server_msg_received_total", "Messages received.", (counted) => counted.messagesReceived);
  add("grpc_server_msg_sent_total", "Messages sent.", (counted) => counted.messagesSent);
  metrics.add({
    name: "grpc_server_handled_total",
    help: "RPCs that ended on the server, whatever their outcome.",
    type: "counter",
    collect: () => list.flatMap(samplesByCode),
  });
}

function samplesByCode({ labels, counters }: Method): Sample[] {
  return CODE_NAMES.map((name, code) => {
    return { value: counters.handledByCode[code] ?? 0, labels: { ...labels, grpc_code: name } };
  });
}
