/** A thread that gives way: it alone, and not the process. */
import { equal, ok } from "node:assert/strict";
import { once } from "node:events";
import { getPriority } from "node:os";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { threadOfSystem } from "./background-thread.ts";

const SCRIPT = `
  import { parentPort } from "node:worker_threads";
  import { getPriority } from "node:os";
  const { threadOfSystem, yieldToOthers } = await import(${JSON.stringify(new URL("./background-thread.ts", import.meta.url).href)});
  yieldToOthers();
  parentPort.postMessage(getPriority(threadOfSystem()));
`;

test("only the calling thread's priority is lowered", { skip: process.platform !== "linux" }, async () => {
  const thread = threadOfSystem();
  ok(thread !== null);
  const before = getPriority(thread);
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(SCRIPT)}`));
  const [priority] = (await once(worker, "message")) as [number];
  equal(priority, Math.min(19, before + 10));
  equal(getPriority(thread), before);
});
