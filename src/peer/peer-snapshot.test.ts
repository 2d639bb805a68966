import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { waitFor } from "../../test/support/wait.ts";
import { MessageType, type RaftMessage } from "../raft/raft.ts";
import type { SnapshotFile } from "../raft/snapshot-service.ts";
import { encodeFrame } from "./message-stream.ts";
import { OutputBuffer } from "./output-buffer.ts";
import { requestHeaders } from "./peer-headers.ts";
import { emptyMessage } from "./raft-message-decode.ts";
import {
  CLUSTER_ID,
  type TestMember,
  WAIT_MS,
  connect,
  membership,
  startMember,
} from "./testing/transport-fixture.ts";

const META = {
  index: 0x1234,
  term: 3,
  confState: { voters: [1n, 2n], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
};
const NAME = "0000000000001234.snap.db";
/** Several chunks and no multiple of any. */
const FILE_BYTES = 3_000_001;

function snapshotMessage(from: bigint, to: bigint): RaftMessage {
  return { ...emptyMessage(), type: MessageType.snap, from, to, term: 3, snapshot: META };
}

function makeFile(folder: string, bytes = FILE_BYTES): SnapshotFile {
  const path = join(folder, "outgoing");
  writeFileSync(path, Buffer.alloc(bytes, "0123456789abcdef-"));
  return { meta: META, data: Buffer.from("{}"), path, bytes };
}

async function outcome(member: TestMember): Promise<{ id: bigint; ok: boolean }> {
  return await waitFor("outcome", WAIT_MS, () => member.inbox.snapshots[0]);
}

/** A snapshot POST made by hand: the message and the beginning of the file, announced as longer. */
function postPart(
  target: TestMember,
  message: RaftMessage,
  announced: number,
  bytes: number,
  messageBytes?: number,
): { readonly status: Promise<string>; cut: () => void } {
  const out = new OutputBuffer();
  encodeFrame(out, message);
  if (messageBytes !== undefined) out.setUint64(0, messageBytes);
  const headers = requestHeaders({ memberId: 1n, clusterId: CLUSTER_ID, peerUrls: ["http://127.0.0.1:1"] });
  const request = httpRequest(`${target.url}/raft/snapshot`, {
    method: "POST",
    headers: { ...headers, "Content-Length": out.length + announced },
  });
  const { promise, resolve } = Promise.withResolvers<string>();
  request.on("error", (error) => resolve(error.message));
  request.on("response", (response) => {
    let text = `${response.statusCode} `;
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => (text += chunk));
    response.on("end", () => resolve(text));
    response.on("error", () => resolve(text));
  });
  request.write(out.bytes.subarray(0, out.length));
  request.write(Buffer.alloc(bytes));
  return { status: promise, cut: () => request.destroy() };
}

test("a snapshot arrives whole, under its name, before its message does", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  await connect(one, two);
  const file = makeFile(one.folder);
  one.transport.sendSnapshot(snapshotMessage(1n, 2n), file);
  const [message] = await two.inbox.awaitMessages(MessageType.snap);
  assert.deepEqual(readdirSync(two.folder), [NAME]);
  assert.ok(readFileSync(join(two.folder, NAME)).equals(readFileSync(file.path)));
  assert.deepEqual(message.snapshot, META);
  assert.deepEqual(await outcome(one), { id: 2n, ok: true });
  assert.equal(one.inbox.snapshots.length, 1);
  // The same one again takes no second file.
  one.transport.sendSnapshot(snapshotMessage(1n, 2n), file);
  await two.inbox.awaitMessages(MessageType.snap, 2);
  assert.deepEqual(readdirSync(two.folder), [NAME]);
});

test("a snapshot whose file turns out to be damaged is refused, and its file goes", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  await connect(one, two);
  two.inbox.damage = new Error("page 5: checksum");
  one.transport.sendSnapshot(snapshotMessage(1n, 2n), makeFile(one.folder));
  assert.deepEqual(await outcome(one), { id: 2n, ok: false });
  assert.deepEqual(readdirSync(two.folder), []);
  assert.equal(two.inbox.messages.length, 0);
  assert.ok(one.logs.some((line) => line.includes("failed to save KV snapshot (page 5: checksum)")));
});

test("a snapshot that is cut off in the middle leaves nothing and is not handed on", async (t) => {
  const two = await startMember(t, 2n);
  const { cut } = postPart(two, snapshotMessage(1n, 2n), 1_000_000, 400_000);
  await waitFor("temporary file", WAIT_MS, () =>
    readdirSync(two.folder).some((name) => name.startsWith("tmp")) ? true : undefined,
  );
  cut();
  await waitFor("no file", WAIT_MS, () => (readdirSync(two.folder).length === 0 ? true : undefined));
  assert.equal(two.inbox.messages.length, 0);
  assert.ok(two.logs.some((line) => line.includes("failed to save KV snapshot")));
});

test("a sender that stalls in the middle is given up", async (t) => {
  const two = await startMember(t, 2n, { timing: { idleTimeoutMs: 80 } });
  const { status } = postPart(two, snapshotMessage(1n, 2n), 1_000_000, 400_000);
  await status;
  await waitFor("no file", WAIT_MS, () => (readdirSync(two.folder).length === 0 ? true : undefined));
  assert.equal(two.inbox.messages.length, 0);
});

test("refusals: wrong type, another receiver, a removed sender, no message, too large a message", async (t) => {
  const two = await startMember(t, 2n);
  two.transport.setMembership(membership([two], [9n]));
  const wrongType = { ...snapshotMessage(1n, 2n), type: MessageType.app, snapshot: null };
  assert.equal(await postPart(two, wrongType, 10, 10).status, "400 wrong raft message type\n");
  assert.equal(
    await postPart(two, snapshotMessage(1n, 3n), 1_000_000, 400_000).status,
    `403 {"message":"cannot process message to mismatch member"}`,
  );
  assert.equal(
    await postPart(two, snapshotMessage(9n, 2n), 10, 10).status,
    `403 {"message":"cannot process message from removed member"}`,
  );
  const huge = postPart(two, snapshotMessage(1n, 2n), 10, 10, 2 ** 26 + 1);
  assert.equal(await huge.status, "400 failed to decode raft message (message too large)\n");
  const cutShort = postPart(two, snapshotMessage(1n, 2n), 10, 10, 2 ** 20);
  assert.equal(await cutShort.status, "400 failed to decode raft message (unexpected EOF)\n");
  assert.deepEqual(readdirSync(two.folder), []);
  assert.equal(two.inbox.messages.length, 0);
});

test("a file that is shorter than announced, or gone, fails at the sender and leaves nothing", async (t) => {
  const one = await startMember(t, 1n);
  const two = await startMember(t, 2n);
  await connect(one, two);
  const short = { ...makeFile(one.folder), bytes: FILE_BYTES + 5 };
  one.transport.sendSnapshot(snapshotMessage(1n, 2n), short);
  assert.deepEqual(await outcome(one), { id: 2n, ok: false });
  one.transport.sendSnapshot(snapshotMessage(1n, 2n), { ...short, path: join(one.folder, "gone") });
  await waitFor("second outcome", WAIT_MS, () => (one.inbox.snapshots.length === 2 ? true : undefined));
  assert.equal(one.inbox.snapshots[1].ok, false);
  await waitFor("no file", WAIT_MS, () => (readdirSync(two.folder).length === 0 ? true : undefined));
  assert.equal(two.inbox.messages.length, 0);
});

test("a snapshot for somebody unknown, or for a peer that is not there, fails once", async (t) => {
  const one = await startMember(t, 1n);
  const file = makeFile(one.folder);
  one.transport.setMembership(membership([one, { id: 2n, url: "http://127.0.0.1:1" }]));
  one.transport.sendSnapshot(snapshotMessage(1n, 7n), file);
  one.transport.sendSnapshot(snapshotMessage(1n, 2n), file);
  await waitFor("outcomes", WAIT_MS, () => (one.inbox.snapshots.length === 2 ? true : undefined));
  assert.deepEqual(new Set(one.inbox.snapshots.map(({ id }) => id)), new Set([2n, 7n]));
  assert.ok(one.inbox.snapshots.every(({ ok }) => !ok));
});
