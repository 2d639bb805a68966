import assert from "node:assert/strict";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import {
  PeerCallError,
  callPeer,
  firstOf,
  getDowngradeEnabled,
  getHashKv,
  getMembers,
  getVersion,
  postPromote,
} from "./peer-client.ts";
import { createPeerAgent } from "./peer-http.ts";

const OPTIONS = { timeoutMs: 2000 };

async function withServer(listener: RequestListener, run: (url: string) => Promise<void>): Promise<void> {
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("members are read with exact 64-bit ids, and the cluster id from the header", async () => {
  await withServer(
    (request, response) => {
      assert.equal(request.url, "/members");
      response.setHeader("X-Etcd-Cluster-ID", "b48276a6c1cdda46");
      response.end(
        `[{"id":18374686479671623681,"peerURLs":["http://a:1"],"isLearner":true},{"id":2,"peerURLs":null,"name":"\\"id\\": 7","clientURLs":["http://c:2"]}]\n`,
      );
    },
    async (url) => {
      const { clusterId, members } = await getMembers(url, OPTIONS);
      assert.equal(clusterId, 0xb48276a6c1cdda46n);
      assert.deepEqual(members, [
        { id: 18374686479671623681n, name: "", peerUrls: ["http://a:1"], clientUrls: [], isLearner: true },
        { id: 2n, name: '"id": 7', peerUrls: [], clientUrls: ["http://c:2"], isLearner: false },
      ]);
    },
  );
});

test("versions, also of members that know no storage version", async () => {
  await withServer(
    (_request, response) => response.end(`{"etcdserver":"3.5.30","etcdcluster":"not_decided"}`),
    async (url) => {
      assert.deepEqual(await getVersion(url, OPTIONS), {
        server: "3.5.30",
        cluster: "not_decided",
        storage: "",
      });
    },
  );
});

test("a refused promotion carries status and text, and the caller's token went along", async () => {
  await withServer(
    (request, response) => {
      assert.equal(request.method, "POST");
      assert.equal(request.url, "/members/promote/12345678901234567890");
      assert.equal(request.headers.authorization, "token.1");
      response.statusCode = 412;
      response.end("membership: can only promote a learner member\n");
    },
    async (url) => {
      await assert.rejects(
        postPromote(url, 12345678901234567890n, "token.1", OPTIONS),
        (error) =>
          error instanceof PeerCallError &&
          error.status === 412 &&
          error.message === "membership: can only promote a learner member",
      );
    },
  );
});

test("hashkv is a GET with a body and the cluster's id", async () => {
  await withServer(
    (request, response) => {
      assert.equal(request.method, "GET");
      assert.equal(request.headers["x-etcd-cluster-id"], "ab");
      request.setEncoding("utf8").on("data", (text) => {
        assert.equal(text, `{"revision":15}`);
        response.end(`{"header":{"revision":20},"hash":1172604007,"compact_revision":-1,"hash_revision":15}`);
      });
    },
    async (url) => {
      assert.deepEqual(await getHashKv(url, 15, { ...OPTIONS, clusterId: 0xabn }), {
        revision: 20,
        hash: 1172604007,
        compactRevision: -1,
        hashRevision: 15,
      });
    },
  );
});

test("a peer that accepts and says nothing costs the time limit, no more", async () => {
  await withServer(
    () => {},
    async (url) => {
      await assert.rejects(getVersion(url, { timeoutMs: 50 }), /within 50 ms/);
    },
  );
});

test("an answer that is cut off is no answer", async () => {
  await withServer(
    (_request, response) => {
      response.setHeader("Content-Length", "10");
      response.write("true");
      response.socket?.destroySoon();
    },
    async (url) => {
      await assert.rejects(getDowngradeEnabled(url, OPTIONS));
    },
  );
});

test("the first URL that answers wins, and TLS is refused for now", async () => {
  await withServer(
    (_request, response) => response.end("true"),
    async (url) => {
      const urls = ["http://127.0.0.1:1", url];
      assert.equal(await firstOf(urls, (each) => getDowngradeEnabled(each, OPTIONS)), true);
      await assert.rejects(async () =>
        callPeer("https://127.0.0.1:1", { method: "GET", path: "/" }, OPTIONS),
      );
    },
  );
});

test("kept connections serve one call after the other", async () => {
  const ports = new Set<number | undefined>();
  await withServer(
    (request, response) => {
      ports.add(request.socket.remotePort);
      response.end("false");
    },
    async (url) => {
      const agent = createPeerAgent();
      for (let i = 0; i < 3; i++) assert.equal(await getDowngradeEnabled(url, { ...OPTIONS, agent }), false);
      agent.destroy();
      assert.equal(ports.size, 1);
    },
  );
});
