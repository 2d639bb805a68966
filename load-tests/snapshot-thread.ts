/**
 * Thread entry: reads one snapshot, so that reading it does not delay the Puts that are measured meanwhile on the main thread.
 * Tells its parent once, when the snapshot is complete; anything else is an error of the thread.
 */
import { createHash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { parentPort, workerData } from "node:worker_threads";
import { SnapshotResponseSchema } from "../src/proto/gen/rpc_pb.ts";
import { LoadConnection } from "./generator-connection.ts";
import { framed } from "./requests.ts";

/** What the parent hands over. */
export interface SnapshotTask {
  readonly address: string;
}

/** What the parent is told: length of the database file, hash included. */
export interface SnapshotReport {
  readonly bytes: number;
}

const HASH_BYTES = 32;

const { address } = workerData as SnapshotTask;
const hash = createHash("sha256");
let bytes = 0;
let tail: Uint8Array = Buffer.alloc(0);
const connection = await LoadConnection.open(address);
connection.closed.catch((error: Error) =>
  setImmediate(() => {
    throw error;
  }),
);
const stream = connection.openStream("/etcdserverpb.Maintenance/Snapshot", {
  onMessage: (message, start, end) =>
    take(fromBinary(SnapshotResponseSchema, message.subarray(start, end)).blob),
  onEnd: (status) => {
    if (status !== "0") throw new Error(`the snapshot ended with grpc-status ${status}`);
    if (!hash.digest().equals(tail)) throw new Error("the snapshot's hash is not that of its bytes");
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort, not a window
    parentPort?.postMessage({ bytes } satisfies SnapshotReport);
  },
});
stream.send(framed(new Uint8Array()));
stream.end();

/** The last 32 bytes are the hash of all that comes before them. */
function take(blob: Uint8Array): void {
  bytes += blob.length;
  const all = Buffer.concat([tail, blob]);
  const end = Math.max(0, all.length - HASH_BYTES);
  hash.update(all.subarray(0, end));
  tail = all.subarray(end);
}
