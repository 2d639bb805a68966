/** Clients on a Unix socket have no address, and are told apart all the same: what one leaves unread must not count against others. */
import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { text } from "node:stream/consumers";

import { listenForTest } from "../../test/support/grpc-listener.ts";
import { grpcMessage } from "../../test/support/http2-peer.ts";
import { memoryDir } from "../../test/support/temp-dir.ts";
import type { MethodHandler } from "./service.ts";

const PATH = "/test.T/Note";

test("calls of one connection have its name, and those of another one another", async (t) => {
  const remotes: string[] = [];
  const note: MethodHandler = {
    path: PATH,
    kind: "unary",
    onMessage: (call, bytes, start, end) => {
      remotes.push(call.remote);
      call.sendMessage(bytes, start, end);
      call.end(0, "");
    },
  };
  const path = join(memoryDir(t), "clients");
  await listenForTest(t, { services: new Map([[PATH, note]]), listeners: [{ path }] });
  const [first, second] = [0, 1].map(() => {
    const session = connectHttp2("http://localhost", { createConnection: () => connect(path) });
    t.after(() => session.destroy());
    return session;
  });
  for (const session of [first, second, first]) {
    const headers = { ":method": "POST", ":path": PATH, "content-type": "application/grpc", te: "trailers" };
    const call = session.request(headers);
    call.end(grpcMessage(Buffer.from("x")));
    assert.equal((await text(call)).slice(5), "x");
  }
  assert.deepEqual([remotes[0] === remotes[2], remotes[0] === remotes[1]], [true, false]);
  assert.match(remotes[0], /^@:\d+$/);
});
