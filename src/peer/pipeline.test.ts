import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { waitFor } from "../../test/support/wait.ts";
import { MessageType, type RaftMessage } from "../raft/raft.ts";
import { readAll } from "./peer-client.ts";
import { MessageDecoder } from "./raft-message-decode.ts";
import { WAIT_MS, append, heartbeat, membership, startMember } from "./testing/transport-fixture.ts";

/** A peer without streams. It answers heartbeats; of the first other message it takes the whole body, and then it closes the connection. */
async function startMutePeer(t: TestContext): Promise<{ url: string; received: number[] }> {
  const received: number[] = [];
  const server = createServer((request, response) => {
    if (request.method !== "POST") {
      response.writeHead(404).end();
      return;
    }
    void readAll(request, 1e6).then((body) => {
      const type = new MessageDecoder().decode(body, 0, body.length)?.type ?? -1;
      const isFirst = !received.includes(type);
      received.push(type);
      if (type === MessageType.heartbeat || !isFirst) response.writeHead(204).end();
      else request.socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close().closeAllConnections());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

/** Sends `message` on a connection that has been used, and loses its answer. Returns how often the peer got it. */
async function deliveries(t: TestContext, message: RaftMessage): Promise<number> {
  const member = await startMember(t, 1n);
  const peer = await startMutePeer(t);
  member.transport.setMembership(membership([member, { id: 2n, url: peer.url }]));
  const counters = member.transport.counters().get(2n);
  assert.ok(counters !== undefined);
  member.transport.send([heartbeat(1n, 2n)]);
  await waitFor("the heartbeat's answer", WAIT_MS, () => counters.sentBytes > 0 || undefined);
  const sentBefore = counters.sentBytes;
  member.transport.send([message]);
  await waitFor("the message's fate", WAIT_MS, () => {
    return counters.sentBytes > sentBefore || counters.sentFailures > 0 || undefined;
  });
  return peer.received.filter((type) => type === message.type).length;
}

test("a message on a connection that the peer closes is sent once more", async (t) => {
  assert.equal(await deliveries(t, append(1n, 2n, 5, ["x"])), 2);
});

test("a proposal is not: the peer may have taken it, and what is proposed twice is written twice", async (t) => {
  const proposal = { ...append(1n, 2n, 0, ["x"]), type: MessageType.prop, term: 0, commit: 0, logTerm: 0 };
  assert.equal(await deliveries(t, proposal), 1);
});
