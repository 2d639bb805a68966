/**
 * Thread entry: reads one large Range, so that reading it does not delay the Puts that are measured meanwhile on the main thread.
 * Tells its parent once: the bytes it has read when the answer ended, or when it stopped reading on purpose.
 */
import { parentPort, workerData } from "node:worker_threads";
import { LoadConnection } from "./generator-connection.ts";
import type { RequestBody } from "./requests.ts";

/** What the parent hands over. */
export interface RangeReaderTask {
  readonly address: string;
  readonly request: { readonly path: string; readonly body: Uint8Array };
  /** Stops reading, with the connection open, after so many bytes; Infinity: reads to the end. */
  readonly stallAfterBytes: number;
}

/** What the parent is told. */
export interface RangeReaderReport {
  readonly bytes: number;
  /** Why the answer could not be read as it should; empty if it could. */
  readonly problem: string;
}

const task = workerData as RangeReaderTask;
const request: RequestBody = { path: task.request.path, body: Buffer.from(task.request.body) };
const connection = await LoadConnection.open(task.address);
connection.closed.catch((error: Error) => tell(error.message));
let bytes = 0;
let told = false;
connection.send(request, {
  onData: (_, start, end) => {
    bytes += end - start;
    if (bytes < task.stallAfterBytes) return;
    connection.stopReading();
    tell("");
  },
  onEnd: (status) => {
    if (status !== "0") tell(`the range ended with grpc-status ${status}`);
    else tell(task.stallAfterBytes === Infinity ? "" : "the range ended before the reader stopped");
  },
});

function tell(problem: string): void {
  if (told) return;
  told = true;
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort, not a window
  parentPort?.postMessage({ bytes, problem } satisfies RangeReaderReport);
}
