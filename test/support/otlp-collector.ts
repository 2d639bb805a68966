/**
 * Stands in for an OpenTelemetry collector: takes OTLP over gRPC and over HTTP, and keeps the spans. It reads only what the tests ask of
 * them.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import * as grpc from "@grpc/grpc-js";
import { WireReader } from "../../src/proto/wire.ts";
import type { Cleanup } from "./temp-dir.ts";

const EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const HTTP_PATH = "/v1/traces";

/** One span, ids in hex. */
export interface CollectedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: the first of its trace. */
  readonly parentId: string;
  /** `service.instance.id` of who sent it. */
  readonly instance: string;
  readonly service: string;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly startNs: bigint;
  readonly endNs: bigint;
}

export class OtlpCollector {
  readonly spans: CollectedSpan[] = [];
  readonly grpcAddress: string;
  readonly httpUrl: string;

  private constructor(grpcPort: number, httpPort: number) {
    this.grpcAddress = `127.0.0.1:${grpcPort}`;
    this.httpUrl = `http://127.0.0.1:${httpPort}${HTTP_PATH}`;
  }

  static async start(t: Cleanup): Promise<OtlpCollector> {
    let collector: OtlpCollector | undefined;
    const take = (bytes: Uint8Array): void => void collector?.spans.push(...decodeExport(bytes));
    const server = new grpc.Server();
    const identity = (bytes: Buffer): Buffer => bytes;
    const method: grpc.MethodDefinition<Buffer, Buffer> = {
      path: EXPORT,
      requestStream: false,
      responseStream: false,
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
    };
    server.addService(
      { export: method },
      {
        export: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
          take(call.request);
          done(null, Buffer.alloc(0));
        },
      },
    );
    const grpcPort = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
    const http = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const isExport = request.url === HTTP_PATH && request.method === "POST";
        if (isExport) take(Buffer.concat(chunks));
        response.writeHead(isExport ? 200 : 404, { "content-type": "application/x-protobuf" }).end();
      });
    });
    await new Promise<void>((resolve) => void http.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      server.forceShutdown();
      http.close();
      http.closeAllConnections();
    });
    collector = new OtlpCollector(grpcPort, (http.address() as AddressInfo).port);
    return collector;
  }
}

/** Fields of a message by number: bytes, or the integer of a varint or fixed64. */
type Fields = ReadonlyMap<number, readonly (Uint8Array | bigint)[]>;

function fieldsOf(bytes: Uint8Array): Fields {
  const reader = new WireReader();
  reader.reset(bytes, 0, bytes.length);
  const fields = new Map<number, (Uint8Array | bigint)[]>();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    let value: Uint8Array | bigint;
    if ((tag & 7) === 2) {
      const length = reader.length();
      value = bytes.subarray(reader.position, reader.position + length);
      reader.advance(length);
    } else if ((tag & 7) === 1) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + reader.position);
      value = view.getBigUint64(0, true);
      reader.advance(8);
    } else if ((tag & 7) === 0) {
      reader.varint();
      value = (BigInt(reader.high >>> 0) << 32n) | BigInt(reader.low >>> 0);
    } else {
      reader.skip(tag);
      continue;
    }
    const number = tag >>> 3;
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  if (reader.failed) throw new Error("malformed export request");
  return fields;
}

function messages(fields: Fields, number: number): Fields[] {
  return (fields.get(number) ?? []).map((bytes) => fieldsOf(bytes as Uint8Array));
}

function bytesOf(fields: Fields, number: number): Uint8Array {
  return (fields.get(number)?.[0] ?? new Uint8Array(0)) as Uint8Array;
}

function textOf(fields: Fields, number: number): string {
  return Buffer.from(bytesOf(fields, number)).toString();
}

/** Repeated KeyValue: strings and integers. */
function attributesOf(fields: Fields, number: number): Record<string, string | number> {
  const attributes: Record<string, string | number> = {};
  for (const pair of messages(fields, number)) {
    const value = fieldsOf(bytesOf(pair, 2));
    attributes[textOf(pair, 1)] = value.has(1) ? textOf(value, 1) : Number(value.get(3)?.[0] ?? 0n);
  }
  return attributes;
}

/** Reads an ExportTraceServiceRequest. */
function decodeExport(bytes: Uint8Array): CollectedSpan[] {
  return messages(fieldsOf(bytes), 1).flatMap((resourceSpans) => {
    const resource = attributesOf(fieldsOf(bytesOf(resourceSpans, 1)), 1);
    const hex = (fields: Fields, number: number): string =>
      Buffer.from(bytesOf(fields, number)).toString("hex");
    return messages(resourceSpans, 2).flatMap((scope) =>
      messages(scope, 2).map((span) => ({
        name: textOf(span, 5),
        traceId: hex(span, 1),
        spanId: hex(span, 2),
        parentId: hex(span, 4),
        instance: String(resource["service.instance.id"] ?? ""),
        service: String(resource["service.name"] ?? ""),
        attributes: attributesOf(span, 9),
        startNs: span.get(7)?.[0] as bigint,
        endNs: span.get(8)?.[0] as bigint,
      })),
    );
  });
}
