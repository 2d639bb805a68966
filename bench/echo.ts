/**
 * Unary echo through the whole native transport: sockets, HTTP/2, HPACK, flow control, gRPC framing, the service table.
 *
 *   node bench/echo.ts            # prints the address; port 50051, or the first argument
 *   printf '\0\0\0\0\x10hello, echo 1234' > /tmp/echo.bin
 *   h2load -n 1000000 -c 10 -m 100 -t 1 -d /tmp/echo.bin \
 *     -H 'content-type: application/grpc' -H 'te: trailers' http://127.0.0.1:50051/bench.Echo/Call
 *
 * h2load's "req/s" is the figure; on SIGTERM or SIGINT the server prints its own CPU time a request.
 */
import { listenNative } from "../src/grpc/native-transport.ts";
import type { MethodHandler } from "../src/grpc/service.ts";

let calls = 0;

const echo: MethodHandler = {
  path: "/bench.Echo/Call",
  kind: "unary",
  onMessage(call, bytes, start, end) {
    calls++;
    call.sendMessage(bytes, start, end);
    call.end(0, "");
  },
};

const transport = await listenNative({
  services: new Map([[echo.path, echo]]),
  limits: {
    receiveBytesMax: 2_097_152,
    concurrentStreamsMax: 0xffff_ffff,
    keepaliveMinTimeMs: 5_000,
    keepaliveIntervalMs: 7_200_000,
    keepaliveTimeoutMs: 20_000,
  },
  listeners: [{ host: "127.0.0.1", port: Number(process.argv[2] ?? 50051) }],
  http1: null,
});
console.log("echo on", transport.addresses()[0]);
const startCpu = process.cpuUsage();

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    const cpu = process.cpuUsage(startCpu);
    console.log(`${calls} calls, ${((cpu.user + cpu.system) / Math.max(1, calls)).toFixed(2)} us CPU a call`);
    void transport.drain(100).then(() => process.exit(0));
  });
}
