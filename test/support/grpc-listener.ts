/** The native transport alone, without a member: what tests of it listen with. */
import {
  listenNative,
  type ListeningTransport,
  type ListenOptions,
} from "../../src/grpc/native-transport.ts";
import type { TransportLimits } from "../../src/grpc/service.ts";
import type { Cleanup } from "./temp-dir.ts";

/** Messages of 2 MB, no keepalives by the server and no patience with those of clients. */
export const TEST_LIMITS: TransportLimits = {
  receiveBytesMax: 2_000_000,
  concurrentStreamsMax: 50,
  keepaliveMinTimeMs: 60_000,
  keepaliveIntervalMs: 0,
  keepaliveTimeoutMs: 0,
};

/** Listens on a port of 127.0.0.1, within {@link TEST_LIMITS}, unless told otherwise, until the test ends. */
export async function listenForTest(
  t: Cleanup,
  options: Pick<ListenOptions, "services"> & Partial<ListenOptions>,
): Promise<{ readonly transport: ListeningTransport; readonly port: number }> {
  const transport = await listenNative({
    limits: TEST_LIMITS,
    listeners: [{ host: "127.0.0.1", port: 0 }],
    http1: null,
    ...options,
  });
  t.after(() => transport.drain(0));
  return { transport, port: portOf(transport) };
}

/** Port of the first listener; 0 if it is a Unix socket. */
export function portOf(transport: ListeningTransport): number {
  const [address] = transport.addresses();
  return "port" in address ? address.port : 0;
}
