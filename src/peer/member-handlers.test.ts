import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "../../test/support/wait.ts";
import { PeerRequestKind } from "../ring/record-types.ts";
import { type PeerResponse, callPeer, getMembers, getVersion, postPromote } from "./peer-client.ts";
import { CLUSTER_ID, type TestMember, WAIT_MS, startMember } from "./testing/transport-fixture.ts";

const OPTIONS = { timeoutMs: 5000 };
const utf8 = new TextEncoder();

function text(response: PeerResponse): string {
  return Buffer.from(response.body).toString();
}

async function call(
  member: TestMember,
  method: string,
  path: string,
  body?: Uint8Array,
): Promise<PeerResponse> {
  const request = body === undefined ? { method, path } : { method, path, body };
  return await callPeer(member.url, request, OPTIONS);
}

/** Waits for the next request that main would get, and answers it. */
async function answerNext(
  member: TestMember,
  status: number,
  contentType: number,
  body: string,
): Promise<{ kind: number; body: Uint8Array }> {
  const { inbox, transport } = member;
  const request = await waitFor("request for main", WAIT_MS, () => inbox.requests.shift());
  transport.respond(request.requestId, status, contentType, utf8.encode(body));
  return request;
}

test("GET /members and /version tell the membership as applied", async (t) => {
  const one = await startMember(t, 0xb8ea37086f531138n);
  assert.equal((await call(one, "GET", "/members")).status, 503);
  const undecided = await getVersion(one.url, OPTIONS);
  assert.deepEqual(undecided, { server: "3.6.6", cluster: "not_decided", storage: "unknown" });
  const report = {
    index: 5,
    members: [
      {
        id: "b8ea37086f531138",
        name: "one",
        peerUrls: [one.url],
        clientUrls: ["http://c:1"],
        isLearner: false,
      },
      { id: "2", name: "", peerUrls: [], clientUrls: [], isLearner: true },
    ],
    removed: [],
    clusterVersion: "3.6.0",
  };
  one.transport.setMembership(utf8.encode(JSON.stringify(report)));
  const response = await call(one, "GET", "/members");
  assert.equal(
    text(response),
    `[{"id":2,"peerURLs":[],"isLearner":true},{"id":13324522956896014648,"peerURLs":["${one.url}"],"name":"one","clientURLs":["http://c:1"]}]\n`,
  );
  assert.equal(response.contentType, "application/json");
  assert.equal(response.clusterId, CLUSTER_ID.toString(16));
  assert.equal((await getMembers(one.url, OPTIONS)).members.length, 2);
  const version = await call(one, "GET", "/version");
  assert.equal(text(version), `{"etcdserver":"3.6.6","etcdcluster":"3.6.0","storage":"3.6.0"}`);
});

test("paths and methods that are not served", async (t) => {
  const one = await startMember(t, 1n);
  for (const path of ["/", "/raft/", "/raft/streams", "/membersx", "/leases/other", "/metrics"]) {
    const response = await call(one, "GET", path);
    assert.equal(`${response.status} ${text(response)}`, "404 404 page not found\n", path);
  }
  for (const [method, path] of [
    ["POST", "/members"],
    ["POST", "/version"],
    ["GET", "/raft"],
    ["POST", "/raft/stream/msgapp/2"],
    ["GET", "/leases"],
    ["GET", "/members/promote/5"],
    ["POST", "/downgrade/enabled"],
  ] as const) {
    const response = await call(one, method, path);
    assert.equal(`${response.status} ${text(response)}`, "405 Method Not Allowed\n", path);
  }
  assert.equal(one.inbox.requests.length, 0);
});

test("what only main can answer goes there and comes back", async (t) => {
  const one = await startMember(t, 1n);
  const promotion = postPromote(one.url, 18446744073709551615n, "", OPTIONS);
  const { kind, body } = await answerNext(
    one,
    200,
    0,
    `[{"id":18446744073709551615,"peerURLs":["http://a:1"]}]\n`,
  );
  assert.equal(kind, PeerRequestKind.promote);
  assert.equal(Buffer.from(body).readBigUInt64LE(), 18446744073709551615n);
  assert.deepEqual((await promotion)[0].peerUrls, ["http://a:1"]);

  const refused = call(one, "POST", "/members/promote/7", utf8.encode("ignored"));
  await answerNext(one, 412, 2, "membership: can only promote a learner member");
  assert.equal(text(await refused), "membership: can only promote a learner member\n");

  const lease = call(one, "POST", "/leases", Uint8Array.of(8, 1));
  assert.deepEqual([...(await answerNext(one, 200, 1, "\x08\x01")).body], [8, 1]);
  assert.equal((await lease).contentType, "application/protobuf");

  const downgrade = call(one, "GET", "/downgrade/enabled");
  assert.equal((await answerNext(one, 200, 2, "false")).kind, PeerRequestKind.downgradeEnabled);
  assert.equal(text(await downgrade), "false");

  const hash = call(one, "GET", "/members/hashkv", utf8.encode(`{"revision":3}`));
  assert.equal(Buffer.from((await answerNext(one, 200, 0, "{}")).body).toString(), `{"revision":3}`);
  await hash;
});

test("requests for main that are refused before", async (t) => {
  const one = await startMember(t, 1n);
  for (const id of ["abc", "", "18446744073709551616", "-1"]) {
    const response = await call(one, "POST", `/members/promote/${id}`, new Uint8Array(0));
    assert.equal(`${response.status} ${text(response)}`, `404 member ${id} not found in cluster\n`);
  }
  const options = { ...OPTIONS, clusterId: 5n };
  const other = await callPeer(one.url, { method: "GET", path: "/members/hashkv" }, options);
  assert.equal(`${other.status} ${text(other)}`, "412 cluster ID mismatch\n");
  const large = await call(one, "POST", "/leases/internal", new Uint8Array(65 * 1024));
  assert.equal(large.status, 413);
  assert.equal(one.inbox.requests.length, 0);
});

test("main that never answers costs the time limit; an answer to nobody is ignored", async (t) => {
  const one = await startMember(t, 1n, { timing: { mainAnswerMs: 40, idleTimeoutMs: 20 } });
  assert.equal((await call(one, "GET", "/downgrade/enabled")).status, 503);
  one.transport.respond(one.inbox.requests[0].requestId, 200, 2, utf8.encode("late"));
  one.transport.respond(12345, 200, 2, utf8.encode("unasked"));
  assert.equal((await call(one, "GET", "/version")).status, 200);
});
