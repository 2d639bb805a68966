/** A graceful stop does not wait for clients that stay. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";

import { KV } from "../../src/proto/gen/rpc_pb.ts";
import { EtcdClient, failureOf } from "../support/etcd-client.ts";
import { Http2Peer } from "../support/http2-peer.ts";
import { startMember } from "../support/member.ts";
import { memoryDir } from "../support/temp-dir.ts";

const UNAVAILABLE = 14;
/** etcd's own programs give a member seconds; this one promises little more than one. */
const STOP_MS_MAX = 5_000;

function open(port: number, text: string): Socket {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  socket.write(text);
  return socket;
}

test(
  "a member stops while clients hold connections, half requests and answers that nobody reads",
  { timeout: 60_000 },
  async (t) => {
    const member = await startMember(t, { dataDir: memoryDir(t) });
    const client = new EtcdClient(member.address);
    t.after(() => client.close());
    const value = Buffer.alloc(1_000_000, "x");
    for (let i = 0; i < 3; i++) await client.call(KV.method.put, { key: Buffer.from(`big/${i}`), value });
    const sockets = ["", "GET /health HTTP/1.1\r\nHost: x\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"].map(
      (text) => open(member.ports.client, text),
    );
    const reader = await Http2Peer.connect(member.ports.client);
    reader.socket.pause();
    reader.request(1, "/etcdserverpb.KV/Range", Buffer.from([0x0a, 1, 0, 0x12, 1, 0]));
    await client.call(KV.method.range, { key: Buffer.from("big/0") });

    const stopped = performance.now();
    const exit = await member.stop();
    assert.deepEqual(exit, { code: 0, signal: null }, member.log);
    assert.ok(performance.now() - stopped < STOP_MS_MAX);
    await assert.rejects(
      client.call(KV.method.range, { key: Buffer.from("big/0") }),
      (error) => failureOf(error).code === UNAVAILABLE,
    );
    for (const socket of sockets) socket.destroy();
    reader.close();
  },
);
