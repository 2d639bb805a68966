/** `grpc_server_*`: calls by service and method. The transport counts in plain fields, the families read them at a scrape. */
import { GRPC_CODE_NAMES } from "../base/errors.ts";
import { createMethodCounters } from "../grpc/service.ts";
import type { GrpcCounters, MethodCounters, MethodKind } from "../grpc/service.ts";
import type { Metrics, Sample } from "./metrics.ts";

const TYPE_LABELS: Readonly<Record<MethodKind, string>> = {
  unary: "unary",
  clientStreaming: "client_stream",
  serverStreaming: "server_stream",
  bidi: "bidi_stream",
};

/** Counters for these methods, all zero. Every method is shown from the start. With `timed`, durations are noted. */
export function createGrpcCounters(paths: Iterable<string>, timed = false): GrpcCounters {
  return new Map([...paths].map((path) => [path, createMethodCounters(timed)]));
}

interface Method {
  readonly labels: Readonly<Record<string, string>>;
  readonly counters: MethodCounters;
}

/** Adds the families, those with etcd's names too; `methods` says how each path is called. */
export function addGrpcMetrics(
  metrics: Metrics,
  counters: GrpcCounters,
  methods: ReadonlyMap<string, { readonly kind: MethodKind }>,
): void {
  const list: Method[] = [...counters].map(([path, counted]) => {
    const [, service = "", method = ""] = path.split("/");
    const kind = methods.get(path)?.kind ?? "unary";
    const labels = { grpc_method: method, grpc_service: service, grpc_type: TYPE_LABELS[kind] };
    return { labels, counters: counted };
  });
  const add = (name: string, help: string, read: (counted: MethodCounters) => number): void => {
    const collect = (): Sample[] => list.map((m) => ({ value: read(m.counters), labels: m.labels }));
    metrics.add({ name, help, type: "counter", collect });
  };
  add("grpc_server_started_total", "RPCs started on the server.", (counted) => counted.started);
  add("grpc_server_msg_received_total", "Messages received.", (counted) => counted.messagesReceived);
  add("grpc_server_msg_sent_total", "Messages sent.", (counted) => counted.messagesSent);
  const addSum = (name: string, help: string, read: (counted: MethodCounters) => number): void => {
    metrics.addCounter(name, help, () => list.reduce((sum, m) => sum + read(m.counters), 0));
  };
  addSum(
    "etcd_network_client_grpc_received_bytes_total",
    "Bytes of messages from clients.",
    (counted) => counted.bytesReceived,
  );
  addSum(
    "etcd_network_client_grpc_sent_bytes_total",
    "Bytes of messages to clients.",
    (counted) => counted.bytesSent,
  );
  metrics.add({
    name: "grpc_server_handled_total",
    help: "RPCs that ended on the server, whatever their outcome.",
    type: "counter",
    collect: () => list.flatMap(samplesByCode),
  });
  metrics.add({
    name: "etcd_server_client_requests_total",
    help: "Calls by the version of the client's API.",
    type: "counter",
    collect: () => samplesByVersion(list),
  });
  if (list.some(({ counters: { durations } }) => durations !== null)) addDurations(metrics, list);
}

/** `--metrics=extensive`: how long calls took. */
function addDurations(metrics: Metrics, list: readonly Method[]): void {
  metrics.addHistogram("grpc_server_handling_seconds", "From the start of an RPC to its end.", () =>
    list.flatMap(({ labels, counters: { durations } }) =>
      durations === null ? [] : [{ values: durations.copy(), labels }],
    ),
  );
}

/** Calls by kind and by the version that clients say they have. */
function samplesByVersion(list: readonly Method[]): Sample[] {
  const sums = new Map<string, { value: number; labels: Record<string, string> }>();
  for (const { labels, counters } of list) {
    const type = labels["grpc_type"] === "unary" ? "unary" : "stream";
    for (const [version, { calls }] of counters.versions) {
      const key = `${type} ${version}`;
      const sum = sums.get(key) ?? { value: 0, labels: { client_api_version: version, type } };
      sum.value += calls;
      sums.set(key, sum);
    }
  }
  return [...sums.values()].filter(({ value }) => value > 0);
}

function samplesByCode({ labels, counters }: Method): Sample[] {
  return GRPC_CODE_NAMES.map((name, code) => {
    return { value: counters.handledByCode[code] ?? 0, labels: { grpc_code: name, ...labels } };
  });
}
