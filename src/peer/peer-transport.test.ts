import assert from "node:assert/strict";
import { connect as connectSocket } from "node:net";
import { test } from "node:test";
import { waitFor } from "../../test/support/wait.ts";
import { MessageType } from "../raft/raft.ts";
import { PIPELINE_REQUESTS_MAX, STREAM_MESSAGES_MAX } from "./peer-limits.ts";
import { emptyMessage } from "./raft-message-decode.ts";
import {
  CLUSTER_ID,
  WAIT_MS,
  append,
  awaitStreams,
  connect,
  freePort,
  heartbeat,
  membership,
  startMember,
} from "./testing/transport-fixture.ts";

const NO_MEMBERS = { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };

test("two members: messages and appends arrive on their streams, in order, both ways", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  await connect(one, two);
  one.transport.send([
    append(1n, 2n, 0, ["a", "b"]),
    heartbeat(1n, 2n, 7),
    append(1n, 2n, 2, ["c".repeat(300_000)]),
    append(1n, 2n, 3, ["d"]),
  ]);
  two.transport.send([heartbeat(2n, 1n, 9)]);
  const appends = await two.inbox.awaitMessages(MessageType.app, 3);
  assert.deepEqual(
    appends.map(({ from, to, index, term, texts }) => ({
      from,
      to,
      index,
      term,
      bytes: texts.join("").length,
    })),
    [
      { from: 1n, to: 2n, index: 0, term: 1, bytes: 2 },
      { from: 1n, to: 2n, index: 2, term: 1, bytes: 300_000 },
      { from: 1n, to: 2n, index: 3, term: 1, bytes: 1 },
    ],
  );
  assert.equal((await two.inbox.awaitMessages(MessageType.heartbeat))[0].commit, 7);
  assert.equal((await one.inbox.awaitMessages(MessageType.heartbeat))[0].commit, 9);
  assert.ok(one.transport.activeSinceMs(2n) > 0);
  assert.equal(one.transport.activeSinceMs(3n), 0);
});

test("without streams, messages go by POST", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  // Member 2 does not know 1, so it dials nothing; 1 knows 2.
  one.transport.setMembership(membership([one, two]));
  one.transport.send([heartbeat(1n, 2n, 3), append(1n, 2n, 5, ["x", "y"])]);
  await two.inbox.awaitMessages(MessageType.heartbeat);
  const [message] = await two.inbox.awaitMessages(MessageType.app);
  assert.deepEqual(message.texts, ["x", "y"]);
  // By its requests, 2 has learned of 1 and can answer.
  two.transport.send([{ ...emptyMessage(), type: MessageType.appResp, from: 2n, to: 1n, index: 7 }]);
  assert.equal((await one.inbox.awaitMessages(MessageType.appResp))[0].index, 7);
});

test("what was sent to somebody who becomes a member meanwhile is not lost", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  one.transport.addRemote(2n, [two.url]);
  // More than its requests carry at once: some are on their way when it becomes a member, and some still wait.
  const sent = Array.from({ length: 3 * PIPELINE_REQUESTS_MAX }, (_, i) => i + 1);
  one.transport.send(sent.map((commit) => heartbeat(1n, 2n, commit)));
  one.transport.setMembership(membership([one, two]));
  const messages = await two.inbox.awaitMessages(MessageType.heartbeat, sent.length);
  assert.deepEqual(
    messages.map(({ commit }) => commit).sort((a, b) => a - b),
    sent,
  );
  assert.deepEqual(one.inbox.unreachables, []);
});

test("traces go along with messages to those who have said that they read them, and to nobody else", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n, { takesTraces: true });
  await connect(one, two);
  const traces = [{ position: 1, context: new Uint8Array(24).map((_, i) => 200 + i) }];
  one.transport.send([
    append(1n, 2n, 0, ["a", "b"]),
    { ...append(1n, 2n, 2, ["c", "d"]), traces },
    append(1n, 2n, 4, ["e"]),
  ]);
  two.transport.send([
    append(2n, 1n, 0, ["a", "b"]),
    { ...append(2n, 1n, 2, ["c", "d"]), traces },
    append(2n, 1n, 4, ["e"]),
  ]);
  for (const [{ inbox }, expected] of [
    [two, [undefined, traces, undefined]],
    [one, [undefined, undefined, undefined]],
  ] as const) {
    const appends = await inbox.awaitMessages(MessageType.app, 3);
    assert.deepEqual(
      appends.map(({ texts }) => texts.join("")),
      ["ab", "cd", "e"],
    );
    assert.deepEqual(
      appends.map(({ traces }) => traces),
      expected,
    );
  }
});

test("of several MsgAppResp to one receiver in a batch only the last leaves", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  await connect(one, two);
  const answer = (index: number): ReturnType<typeof heartbeat> => ({
    ...heartbeat(2n, 1n),
    type: MessageType.appResp,
    index,
  });
  two.transport.send([answer(1), answer(2), heartbeat(2n, 1n), answer(3)]);
  two.transport.send([answer(4), heartbeat(2n, 1n)]);
  await one.inbox.awaitMessages(MessageType.heartbeat, 2);
  const answers = one.inbox.messages.filter(({ type }) => type === MessageType.appResp);
  assert.deepEqual(
    answers.map(({ index }) => index),
    [3, 4],
  );
});

test("a member that comes back is dialed again, and its streams take the place of the old ones", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  await connect(one, two);
  await two.transport.stop();
  await waitFor("end of the streams", WAIT_MS, () =>
    one.transport.peer(2n)?.writer("msgapp").isAttached === false ? true : undefined,
  );
  await waitFor("inactive peer", WAIT_MS, () => (one.transport.activeSinceMs(2n) === 0 ? true : undefined));
  one.transport.send([heartbeat(1n, 2n)]);
  await waitFor("unreachable", WAIT_MS, () => (one.inbox.unreachables.includes(2n) ? true : undefined));
  const port = Number(new URL(two.url).port);
  const again = await startMember(t, 2n, { port });
  again.transport.setMembership(membership([one, again]));
  await awaitStreams(one, again);
  await awaitStreams(again, one);
  one.transport.send([append(1n, 2n, 0, ["after"])]);
  assert.deepEqual((await again.inbox.awaitMessages(MessageType.app))[0].texts, ["after"]);
  assert.ok(one.transport.activeSinceMs(2n) > 0);
});

test("link heartbeats keep idle streams alive beyond the silence that ends them, and never reach raft", async (t) => {
  const timing = { idleTimeoutMs: 600, linkHeartbeatMs: 30 };
  const one = await startMember(t, 1n, { timing });
  const two = await startMember(t, 2n, { timing });
  await connect(one, two);
  const counters = (): number => two.transport.counters().get(1n)?.disconnects ?? -1;
  const heartbeatsOf = (): number => one.transport.counters().get(2n)?.sentBytes ?? 0;
  // A link heartbeat is 29 bytes on both streams together; 25 take longer than the silence allowed.
  await waitFor("25 link heartbeats", WAIT_MS, () => (heartbeatsOf() >= 25 * 29 ? true : undefined));
  assert.equal(counters(), 0);
  assert.equal(two.logs.filter((line) => line.includes("lost TCP")).length, 0);
  assert.equal(two.inbox.messages.length, 0);
});

test("a peer that falls silent is given up and dialed again", async (t) => {
  const one = await startMember(t, 1n, { timing: { linkHeartbeatMs: 1_000_000 } });
  const two = await startMember(t, 2n, { timing: { idleTimeoutMs: 60, linkHeartbeatMs: 20 } });
  await connect(one, two);
  await waitFor("lost streams", WAIT_MS, () =>
    two.logs.filter((line) => line.includes("lost TCP")).length >= 2 ? true : undefined,
  );
  await awaitStreams(one, two);
});

test("a receiver that does not read: what finds no room is dropped and reported once a turn, and it is given up", async (t) => {
  const one = await startMember(t, 1n, { timing: { idleTimeoutMs: 300, linkHeartbeatMs: 50 } });
  const two = await startMember(t, 2n);
  await connect(one, two);
  two.transport.pauseAppends(true);
  const text = "x".repeat(1_000_000);
  for (let index = 0; index < 80; index++) one.transport.send([append(1n, 2n, index, [text])]);
  await waitFor("unreachable", WAIT_MS, () => (one.inbox.unreachables.length > 0 ? true : undefined));
  assert.equal(one.inbox.unreachables.length, 1);
  assert.ok((one.transport.counters().get(2n)?.sentFailures ?? 0) > 1);
  // Everything else goes on meanwhile.
  one.transport.send([heartbeat(1n, 2n, 4)]);
  await two.inbox.awaitMessages(MessageType.heartbeat);
  assert.equal(two.inbox.messages.filter(({ type }) => type === MessageType.app).length, 0);
  await waitFor("given up", WAIT_MS, () =>
    one.logs.some((line) => line.includes("lost TCP") && line.includes("v2")) ? true : undefined,
  );
  two.transport.pauseAppends(false);
  await awaitStreams(one, two);
  // The count of messages is limited too.
  two.transport.pauseAppends(true);
  const before = one.transport.counters().get(2n)?.sentFailures ?? 0;
  one.transport.send([append(1n, 2n, 0, ["x".repeat(8_000_000)])]);
  const small = append(1n, 2n, 0, []);
  for (let i = 0; i < STREAM_MESSAGES_MAX + 10; i++) one.transport.send([small]);
  assert.ok((one.transport.counters().get(2n)?.sentFailures ?? 0) - before >= 10);
});

test("more messages in a turn than may wait, all taken by the system at once, all arrive", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  await connect(one, two);
  const count = STREAM_MESSAGES_MAX + 100;
  for (let i = 0; i < count; i++) one.transport.send([heartbeat(1n, 2n, i)]);
  await two.inbox.awaitMessages(MessageType.heartbeat, count);
  assert.deepEqual(one.inbox.unreachables, []);
});

test("members of another cluster are refused", async (t) => {
  const one = await startMember(t, 1n);
  const stranger = await startMember(t, 2n, { clusterId: 5n });
  one.transport.setMembership(membership([one, stranger]));
  stranger.transport.setMembership(membership([one, stranger]));
  await waitFor("refusal", WAIT_MS, () =>
    stranger.logs.some((line) => line.includes("412 cluster ID mismatch")) ? true : undefined,
  );
  stranger.transport.send([heartbeat(2n, 1n)]);
  await waitFor("unreachable", WAIT_MS, () => (stranger.inbox.unreachables.length > 0 ? true : undefined));
  assert.equal(one.inbox.messages.length, 0);
  assert.equal(stranger.inbox.removals, 0);
  assert.equal(one.transport.activeSinceMs(2n), 0);
});

test("members of an incompatible version are refused", async (t) => {
  const one = await startMember(t, 1n);
  const old = await startMember(t, 2n, { serverVersion: "2.3.8" });
  old.transport.setMembership(membership([one, old]));
  await waitFor("refusal", WAIT_MS, () =>
    old.logs.some((line) => line.includes("412 incompatible version")) ? true : undefined,
  );
});

test("a stream meant for another member is refused, and so is one from an unknown member", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  two.transport.setMembership(membership([two, { id: 3n, url: one.url }]));
  await waitFor("unknown sender", WAIT_MS, () =>
    two.logs.some((line) => line.includes("404 error sender not found")) ? true : undefined,
  );
  one.transport.setMembership(membership([one, two]));
  await waitFor("wrong receiver", WAIT_MS, () =>
    two.logs.some((line) => line.includes("412 to field mismatch")) ? true : undefined,
  );
});

test("a removed member is told so by 410 on its streams and by 403 on its messages", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  one.transport.setMembership(membership([one], [2n]));
  two.transport.setMembership(membership([one, two]));
  await waitFor("removal by 410", WAIT_MS, () => (two.inbox.removals > 0 ? true : undefined));
  const before = two.inbox.removals;
  two.transport.send([heartbeat(2n, 1n)]);
  await waitFor("removal by 403", WAIT_MS, () =>
    two.logs.some((line) => line.includes("unexpected http status 403")) ? true : undefined,
  );
  assert.ok(two.inbox.removals > before);
  assert.equal(one.inbox.messages.length, 0);
});

test("a peer whose first URL is dead is reached at its second; new URLs take effect", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  const dead = `http://127.0.0.1:${await freePort()}`;
  const report = JSON.parse(Buffer.from(membership([one, two])).toString()) as {
    members: { peerUrls: string[] }[];
  };
  report.members[1].peerUrls = [dead, two.url];
  two.transport.setMembership(membership([one, two]));
  one.transport.setMembership(Buffer.from(JSON.stringify(report)));
  await awaitStreams(two, one);
  const moved = await startMember(t, 2n);
  moved.transport.setMembership(membership([one, moved]));
  await two.transport.stop();
  one.transport.setMembership(membership([one, moved]));
  await awaitStreams(moved, one);
});

test("a member that left is no longer dialed, and its streams end", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  await connect(one, two);
  one.transport.setMembership(membership([one]));
  assert.equal(one.transport.peer(2n), undefined);
  await waitFor("end of the stream", WAIT_MS, () =>
    two.transport.peer(1n)?.writer("message").isAttached === false ? true : undefined,
  );
});

test("messages that no member sends to another, and snapshots without their file, are not handed on", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  await connect(one, two);
  const hup = { ...heartbeat(1n, 2n), type: MessageType.hup };
  const snapshot = { index: 9, term: 1, confState: NO_MEMBERS };
  one.transport.send([{ ...heartbeat(1n, 2n), type: MessageType.snap, snapshot }]);
  one.transport.send([hup, { ...heartbeat(1n, 2n), type: MessageType.storageAppendResp }, heartbeat(1n, 2n)]);
  await two.inbox.awaitMessages(MessageType.heartbeat);
  assert.equal(two.inbox.messages.length, 1);
});

test("a connection that says nothing, or stops in the middle of a request, is closed", async (t) => {
  const one = await startMember(t, 1n, { timing: { idleTimeoutMs: 80 } });
  const port = Number(new URL(one.url).port);
  const head = `POST /raft HTTP/1.1\r\nHost: x\r\nX-Server-Version: 3.6.0\r\nX-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: ${CLUSTER_ID.toString(16)}\r\nContent-Length: 100\r\n\r\nabc`;
  for (const text of ["", "POST /ra", head]) {
    const socket = connectSocket({ port, host: "127.0.0.1" });
    await new Promise<void>((resolve, reject) => {
      socket.on("close", () => resolve());
      socket.on("error", reject);
      socket.resume();
      if (text !== "") socket.write(text);
    });
  }
});

test("a body that drips is given up, however busily it does", async (t) => {
  const one = await startMember(t, 1n, { timing: { bodyMs: 100 } });
  const { port } = new URL(one.url);
  const socket = connectSocket({ port: Number(port), host: "127.0.0.1" });
  socket.write(`POST /leases HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n`);
  const drip = setInterval(() => socket.write("x"), 10);
  await new Promise<void>((resolve) => {
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
  });
  clearInterval(drip);
  assert.equal(one.inbox.requests.length, 0);
});

test("probes are answered, and give round-trip times", async (t) => {
  const one = await startMember(t, 1n, { timing: { probeMs: 15 } });
  const two = await startMember(t, 2n);
  await connect(one, two);
  const counters = one.transport.counters().get(2n);
  await waitFor("three probes", WAIT_MS, () =>
    (counters?.durations.roundTrip.count ?? 0) >= 3 ? true : undefined,
  );
  assert.ok((counters?.smoothedRoundTripSeconds ?? 0) > 0);
});

test("stop: nothing is received afterwards, and the port is free", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  await connect(one, two);
  await one.transport.stop();
  await waitFor("unreachable", WAIT_MS, () => {
    // The first may vanish in a socket that is not known to be closed yet.
    two.transport.send([heartbeat(2n, 1n)]);
    return two.inbox.unreachables.length > 0 ? true : undefined;
  });
  assert.equal(one.inbox.messages.length, 0);
  await startMember(t, 1n, { port: Number(new URL(one.url).port) });
});
