/** Clients that ask for much and read nothing: they cost little memory, and nobody else notices. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { KV } from "../../src/proto/gen/rpc_pb.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { frame, grpcHeaders, grpcMessage, Http2Peer, uint32 } from "../support/http2-peer.ts";
import { startMember } from "../support/member.ts";
import { peakRssBytes, rssBytes } from "../support/proc-stats.ts";
import { memoryDir } from "../support/temp-dir.ts";

const RANGES = 1_000;
const VALUES = 50;
const VALUE_BYTES = 10_000;
/** What one such client may cost. All its answers together are 500 MB. */
const GROWTH_BYTES_MAX = 48 * 1024 * 1024;
/** Calls of somebody else meanwhile; together they give a slow reader time to do its harm. */
const OTHER_CALLS = 500;

const ALL = { key: Buffer.from("slow/"), rangeEnd: Buffer.from("slow0") };
/** RangeRequest of {@link ALL}. */
const RANGE_REQUEST = Buffer.concat([Buffer.of(0x0a, 5), ALL.key, Buffer.of(0x12, 5), ALL.rangeEnd]);
const OPEN_WINDOWS = [
  frame(4, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])),
  frame(8, 0, 0, uint32(0x7fff_0000)),
];

test(
  "1,000 ranges of 500 KB that nobody reads cost tens of MB, and others go on",
  { timeout: 120_000 },
  async (t) => {
    const member = await startMember(t, { dataDir: memoryDir(t) });
    const other = new EtcdClient(member.address);
    t.after(() => other.close());
    const value = Buffer.alloc(VALUE_BYTES, "x");
    for (let i = 0; i < VALUES; i++)
      await other.call(KV.method.put, { key: Buffer.from(`slow/${i}`), value });
    const putOthers = async (): Promise<void> => {
      for (let i = 0; i < OTHER_CALLS; i++)
        await other.call(KV.method.put, { key: Buffer.from("other"), value: Buffer.from(`${i}`) });
    };
    await putOthers();

    for (const [name, reads, windows] of [
      ["the socket is not read", false, []],
      ["the socket is not read, the windows are open", false, OPEN_WINDOWS],
      ["the socket is read, the windows are never opened", true, []],
    ] as const) {
      await t.test(name, async () => {
        const before = rssBytes(member.pid);
        const peer = await Http2Peer.connect(member.ports.client);
        if (!reads) peer.socket.pause();
        peer.write(...windows);
        for (let i = 0; i < RANGES; i++) {
          peer.write(
            frame(1, 4, 2 * i + 1, grpcHeaders("/etcdserverpb.KV/Range")),
            frame(0, 1, 2 * i + 1, grpcMessage(RANGE_REQUEST)),
          );
        }
        await putOthers();
        const range = await other.call(KV.method.range, ALL);
        assert.equal(range.kvs.length, VALUES, "another client's long range");
        const growth = Math.max(rssBytes(member.pid), peakRssBytes(member.pid)) - before;
        assert.ok(growth < GROWTH_BYTES_MAX, `RSS grew by ${(growth / 2 ** 20).toFixed(0)} MiB`);
        assert.equal(peer.closed, false, "it may read on whenever it likes");
        peer.close();
      });
    }

    await t.test("a client that reads late gets every answer", async () => {
      const peer = await Http2Peer.connect(member.ports.client);
      for (let i = 0; i < 40; i++) peer.request(2 * i + 1, "/etcdserverpb.KV/Range", RANGE_REQUEST);
      await putOthers();
      for (let i = 0; i < 40; i++) peer.write(frame(8, 0, 2 * i + 1, uint32(1_000_000)));
      peer.write(frame(8, 0, 0, uint32(1_000_000_000)));
      const ended = (): number =>
        peer.frames.filter((each) => each.type === 1 && (each.flags & 1) === 1).length;
      await peer.frame(() => ended() === 40);
      const bytes = peer.frames
        .filter((each) => each.type === 0)
        .reduce((sum, each) => sum + each.payload.length, 0);
      assert.ok(bytes > 40 * VALUES * VALUE_BYTES);
      peer.close();
    });
  },
);
