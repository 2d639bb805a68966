/** A program that embeds a member and a cluster, stops them, and has nothing left that would keep it running or that has changed. */
import assert from "node:assert/strict";
import { connect, startCluster, startMember } from "../../index.ts";

const EVENTS = ["SIGTERM", "SIGINT", "SIGUSR2", "uncaughtException", "unhandledRejection", "exit", "warning"];

function state(): unknown {
  const listeners = EVENTS.map((event) => process.listenerCount(event));
  return { listeners, globals: Object.getOwnPropertyNames(globalThis), env: { ...process.env } };
}

const before = state();
const member = startMember();
await member.ready;
const etcd = await connect(member.endpoint);
const watch = etcd.watch("key");
await watch.started;
await etcd.put("key", "value");
for await (const { entry } of watch) {
  assert.equal(entry.value, "value");
  break;
}
etcd.close();
const cluster = startCluster();
await cluster.ready;
await Promise.all([member.stop(), cluster.stop()]);
assert.deepEqual(state(), before);
process.stdout.write("done\n");
