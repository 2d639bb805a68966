/**
 * What the package offers to programs: members of etcd inside a Node process, and a client for them and for any etcd cluster.
 *
 * ```ts
 * import { connect, startMember } from "concord";
 *
 * await using member = startMember();
 * await member.ready;
 * await using etcd = await connect(member.endpoint);
 * await etcd.put("greeting", "hello");
 * ```
 */
export { type EmbeddedClusterOptions, type EmbeddedCluster, startCluster } from "./embed/cluster.ts";
export { type EmbeddedMember, type EmbeddedMemberOptions, startMember } from "./embed/member.ts";
export type { LogLevel, LogRecord } from "./telemetry/logger.ts";
export type { ClientOptions } from "./client/client.ts";
export type { Entry, Keys, Text } from "./client/entry.ts";
export { EtcdError } from "./client/etcd-error.ts";
export type {
  Etcd,
  GetOptions,
  HoldOptions,
  Leadership,
  Lease,
  ListOptions,
  Lock,
  PutOptions,
  WatchOptions,
} from "./client/etcd.ts";
export type {
  Condition,
  Operation,
  OperationResult,
  Transaction,
  TransactionResult,
} from "./client/transaction.ts";
export type { Watch, WatchEvent } from "./client/watch-events.ts";
import type { ClientOptions } from "./client/client.ts";
import type { Etcd } from "./client/etcd.ts";

/**
 * Connects to a cluster and logs in if a user is given. An unreachable cluster shows with the first call.
 * @param endpoints `host:port` or a URL, of one member or of several
 */
export async function connect(
  endpoints: string | readonly string[],
  options: Omit<ClientOptions, "endpoints"> = {},
): Promise<Etcd> {
  // Whoever only starts members does without gRPC and protobuf.
  const { connectTo } = await import("./client/etcd.ts");
  return connectTo(endpoints, options);
}
