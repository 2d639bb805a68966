import type { Worker } from "node:worker_threads";
import * as Comlink from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import type { Doorbell } from "../src/ring/doorbell.ts";

/** Supervisor side: the remote of one worker. `doorbell` is rung after each call, so that a blocked thread sees the message. */
export function remoteControl<T extends object>(worker: Worker, doorbell: Doorbell): Comlink.Remote<T> {
  const endpoint = nodeEndpoint(worker);
  return Comlink.wrap<T>({
    ...endpoint,
    addEventListener: endpoint.addEventListener.bind(endpoint),
    removeEventListener: endpoint.removeEventListener.bind(endpoint),
    postMessage(message: unknown, transfer?: Parameters<typeof endpoint.postMessage>[1]) {
      endpoint.postMessage(message, transfer);
      doorbell.requestControl();
    },
  });
}
