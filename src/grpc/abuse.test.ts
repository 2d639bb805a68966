/** Each kind of abuse meets its limit, and clients that come near honestly do not. Raw sockets against the native transport. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { after, afterEach, before, test } from "node:test";
import { gzipSync } from "node:zlib";

import {
  CONTINUATION_FRAMES_MAX,
  HEADER_BLOCK_BYTES_MAX,
  IDLE_FRAMES_BURST_MAX,
  PENDING_BYTES_MAX,
  RESETS_BURST_MAX,
} from "../http2/limits.ts";
import {
  frame,
  grpcHeaders,
  grpcMessage,
  headerBlock,
  Http2Peer,
  PREFACE,
  uint32,
} from "../../test/support/http2-peer.ts";
import { listenForTest, portOf, TEST_LIMITS } from "../../test/support/grpc-listener.ts";
import { MANY_BYTES, TableLog, testTable } from "../../test/support/grpc-table.ts";
import type { ListeningTransport } from "./native-transport.ts";
import type { TransportLimits } from "./service.ts";

const CALM = 0xb;
const HANG = "/test.T/Hang";

let transport: ListeningTransport;
let port = 0;
let log: TableLog;
let peers: Http2Peer[] = [];
const ends: (() => unknown)[] = [];
const http1 = createServer((request, response) => {
  const answer = (): unknown => response.end("over http/1.1");
  if (request.url === "/later") setTimeout(answer, 20);
  else answer();
});
Object.assign(http1, { httpAllowHalfOpen: true });

async function start(limits: Partial<TransportLimits>): Promise<ListeningTransport> {
  const options = { services: testTable(log), limits: { ...TEST_LIMITS, ...limits }, http1 };
  return (await listenForTest({ after: (end) => ends.push(end) }, options)).transport;
}

async function open(handshake = true, to = port): Promise<Http2Peer> {
  const peer = await Http2Peer.connect(to, handshake);
  peers.push(peer);
  return peer;
}

function repeat(count: number, make: (index: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));
}

before(async () => {
  log = new TableLog();
  transport = await start({});
  port = portOf(transport);
});
afterEach(() => {
  for (const peer of peers) peer.close();
  peers = [];
});
after(() => Promise.all(ends.map((end) => end())));

test("rapid reset ends the connection, after the burst that is allowed", async () => {
  const peer = await open();
  const one = (index: number): Buffer => {
    const id = 2 * index + 1;
    return Buffer.concat([frame(1, 4, id, grpcHeaders("/test.T/Chat")), frame(3, 0, id, uint32(8))]);
  };
  peer.write(repeat(RESETS_BURST_MAX + 1_000, one));
  assert.deepEqual(await peer.goaway(), { code: CALM, text: "too many resets" });
});

test("resets that a client provokes count as its own", async () => {
  const peer = await open();
  // A DATA frame on a half-closed stream makes us reset it.
  const one = (index: number): Buffer => {
    const id = 2 * index + 1;
    const whole = Buffer.concat([frame(1, 4, id, grpcHeaders(HANG)), frame(0, 1, id, grpcMessage("x"))]);
    return Buffer.concat([whole, frame(0, 0, id, Buffer.of(1))]);
  };
  peer.write(repeat(RESETS_BURST_MAX + 1_000, one));
  assert.deepEqual(await peer.goaway(), { code: CALM, text: "too many resets" });
  await log.until(() => log.hanging.size === 0);
});

test("some hundred cancelled calls are fine", async () => {
  const peer = await open();
  for (let i = 0; i < 500; i++)
    peer.write(frame(1, 4, 2 * i + 1, grpcHeaders("/test.T/Chat")), frame(3, 0, 2 * i + 1, uint32(8)));
  peer.request(2_001, "/test.T/Echo", "still here");
  const answer = await peer.frame((each) => each.type === 0 && each.streamId === 2_001);
  assert.equal(answer.payload.toString("latin1", 5), "still here");
});

test("CONTINUATION floods end, be the frames empty or full", async () => {
  for (const [count, payload] of [
    [CONTINUATION_FRAMES_MAX + 2, Buffer.alloc(0)],
    [Math.ceil(HEADER_BLOCK_BYTES_MAX / 16_000) + 1, Buffer.alloc(16_000)],
  ] as const) {
    const peer = await open();
    peer.write(
      frame(1, 0, 1, grpcHeaders(HANG)),
      repeat(count, () => frame(9, 0, 1, payload)),
    );
    assert.deepEqual(await peer.goaway(), { code: CALM, text: "header block too long" });
  }
});

test("a header list that is too large costs its stream, and the connection goes on", async () => {
  const peer = await open();
  const bomb = Buffer.concat([
    Buffer.of(0x40, 1, 0x62, 0x7f, 0x80 + (3_873 & 127), 3_873 >> 7),
    Buffer.alloc(4_000, 0x78),
  ]);
  peer.write(
    frame(1, 5, 1, Buffer.concat([grpcHeaders(HANG), bomb])),
    frame(1, 5, 3, Buffer.alloc(9_000, 0xbe)),
  );
  assert.equal(await peer.reset(3), CALM);
  peer.request(5, "/test.T/Echo", "ok");
  await peer.frame((each) => each.type === 0 && each.streamId === 5);
});

for (const [name, one] of [
  ["SETTINGS", frame(4, 0, 0)],
  ["PRIORITY", frame(2, 0, 1, Buffer.from([0, 0, 0, 3, 1]))],
  ["unknown", frame(0x40, 0, 0, Buffer.of(1))],
  ["WINDOW_UPDATE", frame(8, 0, 0, uint32(1))],
  ["SETTINGS ack", frame(4, 1, 0)],
] as const) {
  test(`a flood of ${name} frames ends the connection`, async () => {
    const peer = await open();
    peer.write(repeat(IDLE_FRAMES_BURST_MAX + 5_000, () => one));
    assert.deepEqual(await peer.goaway(), { code: CALM, text: "too many idle frames" });
  });
}

test("a flood of empty DATA frames ends the connection", async () => {
  const peer = await open();
  peer.write(
    frame(1, 4, 1, grpcHeaders("/test.T/Chat")),
    repeat(IDLE_FRAMES_BURST_MAX + 5_000, () => frame(0, 0, 1)),
  );
  assert.deepEqual(await peer.goaway(), { code: CALM, text: "too many idle frames" });
});

test("pings: the first without a stream is free, three more are too many", async () => {
  const peer = await open();
  const ping = frame(6, 0, 0, Buffer.alloc(8));
  peer.write(ping, ping, ping);
  await peer.frame(() => peer.frames.filter((each) => each.type === 6).length === 3);
  assert.ok(peer.frames.every((each) => each.type !== 7));
  peer.write(ping);
  assert.deepEqual(await peer.goaway(), { code: CALM, text: "too_many_pings" });
});

test("pings after an answer measure the connection and are free", async () => {
  const peer = await open();
  for (let i = 0; i < 10; i++) {
    const id = 2 * i + 1;
    peer.request(id, "/test.T/Echo", "x");
    await peer.frame((each) => each.type === 1 && each.streamId === id && (each.flags & 1) === 1);
    await peer.roundTrip();
  }
  assert.ok(peer.frames.every((each) => each.type !== 7));
});

test("pings while a long answer arrives measure the connection and are free", async () => {
  const peer = await open();
  peer.request(1, "/test.T/Big", "2000000");
  const received = (): number =>
    peer.frames.filter((each) => each.type === 0).reduce((sum, each) => sum + each.payload.length, 0);
  for (let window = 65_535; window < 2_000_000; window += 100_000) {
    await peer.frame(() => received() >= Math.min(window, 2_000_005));
    await peer.roundTrip();
    peer.write(frame(8, 0, 0, uint32(100_000)), frame(8, 0, 1, uint32(100_000)));
  }
  await peer.frame(() => received() === 2_000_005);
  assert.ok(peer.frames.every((each) => each.type !== 7));
});

test("window games: zero increments and overflows are errors", async () => {
  const zero = await open();
  zero.write(frame(8, 0, 0, uint32(0)));
  assert.equal((await zero.goaway()).code, 1);
  const overflow = await open();
  overflow.write(frame(8, 0, 0, uint32(0x7fff_ffff)));
  assert.equal((await overflow.goaway()).code, 3);
  const stream = await open();
  stream.write(frame(1, 4, 1, grpcHeaders("/test.T/Chat")), frame(8, 0, 1, uint32(0x7fff_ffff)));
  assert.equal(await stream.reset(1), 3);
});

test("DATA that was on its way to a call that ended early is ignored", async () => {
  const peer = await open();
  peer.write(frame(1, 4, 1, grpcHeaders("/test.T/Nope")));
  assert.equal(await peer.reset(1), 0, "answered, then told to stop");
  peer.write(frame(0, 0, 1, Buffer.alloc(16_000)));
  peer.request(3, "/test.T/Echo", "alive");
  await peer.frame((each) => each.type === 0 && each.streamId === 3);
});

test("streams beyond the limit are refused, and can be opened once others ended", async () => {
  const peer = await open();
  for (let i = 0; i <= TEST_LIMITS.concurrentStreamsMax; i++) peer.request(2 * i + 1, HANG);
  assert.equal(await peer.reset(2 * TEST_LIMITS.concurrentStreamsMax + 1), 7);
  peer.write(frame(3, 0, 1, uint32(8)));
  peer.request(1_001, "/test.T/Echo", "room");
  await peer.frame((each) => each.type === 0 && each.streamId === 1_001);
});

test("a client with no window gets nothing, then exactly what it allows", async () => {
  const peer = await open(false);
  peer.write(PREFACE, frame(4, 0, 0, Buffer.from([0, 4, 0, 0, 0, 10])));
  peer.request(1, "/test.T/Big", "100");
  await peer.frame((each) => each.type === 0 && each.streamId === 1);
  peer.request(3, "/test.T/Fail", "others go on");
  await peer.frame((each) => each.type === 1 && each.streamId === 3);
  const received = (): number =>
    peer.frames
      .filter((each) => each.type === 0 && each.streamId === 1)
      .reduce((sum, each) => sum + each.payload.length, 0);
  assert.equal(received(), 10);
  peer.write(frame(8, 0, 1, uint32(50)));
  await peer.frame(() => received() === 60);
  peer.write(frame(8, 0, 1, uint32(1_000)));
  await peer.frame((each) => each.type === 1 && each.streamId === 1 && (each.flags & 1) === 1);
  assert.equal(received(), 105);
});

test("a call that was reset while its answer waited for the connection's window leaves nothing behind", async () => {
  const peer = await open(false);
  peer.write(PREFACE, frame(4, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])));
  peer.request(1, "/test.T/Many", "100");
  await peer.frame(
    () =>
      peer.frames.filter((each) => each.type === 0).reduce((sum, each) => sum + each.payload.length, 0) ===
      65_535,
  );
  // The next call may use the same object again, and has nothing to send.
  peer.write(frame(3, 0, 1, uint32(8)));
  peer.request(3, HANG);
  peer.write(frame(8, 0, 0, uint32(1_000_000)));
  peer.request(5, "/test.T/Echo", "alive");
  const answer = await peer.frame((each) => each.type === 0 && each.streamId === 5);
  assert.equal(answer.payload.toString("latin1", 5), "alive");
});

test("half-closed streams still get their answers; a message longer than announced limits is refused early", async () => {
  const peer = await open();
  peer.write(frame(1, 4, 1, grpcHeaders("/test.T/Echo")), frame(0, 0, 1, Buffer.from([0, 0x7f, 0, 0, 0])));
  assert.equal(await peer.reset(1), 0);
  const answer = await peer.frame((each) => each.type === 1 && each.streamId === 1);
  assert.equal(answer.flags & 1, 1, "trailers only");
});

test("messages and frames may be cut anywhere", async () => {
  const peer = await open();
  const bytes = Buffer.concat([
    frame(1, 4, 1, grpcHeaders("/test.T/Chat")),
    frame(0, 8, 1, Buffer.concat([Buffer.of(3), grpcMessage("one").subarray(0, 2), Buffer.alloc(3)])),
    frame(0, 0, 1, Buffer.concat([grpcMessage("one").subarray(2), grpcMessage("two"), Buffer.of(0)])),
    frame(0, 1, 1, grpcMessage("three").subarray(1)),
  ]);
  for (const byte of bytes) peer.write(Buffer.of(byte));
  await peer.frame((each) => each.type === 1 && (each.flags & 1) === 1);
  const data = Buffer.concat(peer.frames.filter((each) => each.type === 0).map((each) => each.payload));
  assert.deepEqual(data, Buffer.concat([grpcMessage("one"), grpcMessage("two"), grpcMessage("three")]));
});

test("a gzip bomb stops at the message limit", async () => {
  const peer = await open();
  const bomb = gzipSync(Buffer.alloc(TEST_LIMITS.receiveBytesMax * 20));
  peer.write(
    frame(
      1,
      4,
      1,
      grpcHeaders("/test.T/Echo", [
        ["grpc-encoding", "gzip"],
        ["grpc-accept-encoding", "gzip"],
      ]),
    ),
    ...chunks(grpcMessage(bomb, 1)),
    frame(0, 1, 1),
  );
  const answer = await peer.frame((each) => each.type === 1 && each.streamId === 1);
  assert.equal(answer.flags & 1, 1, "trailers only: no message came back");
});

test("requests that are not gRPC get an HTTP status", async () => {
  const peer = await open();
  peer.write(
    frame(
      1,
      5,
      1,
      headerBlock([
        [":method", "GET"],
        [":scheme", "http"],
        [":path", "/"],
      ]),
    ),
  );
  const body = await peer.frame((each) => each.type === 0 && each.streamId === 1 && each.payload.length > 0);
  assert.equal(body.payload.toString(), 'invalid gRPC request content-type ""');
});

test("HTTP/1.1 on the same port reaches the http server, keep-alive included", async () => {
  const socket = connect({ host: "127.0.0.1", port });
  let text = "";
  const twice = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const answers = text.split("over http/1.1").length - 1;
      if (answers === 1) socket.write("GET /second HTTP/1.1\r\nhost: x\r\n\r\n");
      if (answers === 2) resolve();
    });
  });
  socket.write("G");
  socket.write("ET / HTTP/1.1\r\nhost: x\r\n\r\n");
  await twice;
  assert.equal(text.match(/HTTP\/1.1 200 OK/g)?.length, 2);
  socket.destroy();
});

test("a client that ends its side gets the answer over HTTP/1.1, and is closed otherwise", async () => {
  const ends = ["GET /later HTTP/1.1\r\nhost: x\r\n\r\n", "", "PRI * HT", PREFACE.toString()];
  const answers = await Promise.all(
    ends.map((bytes) => text(connect({ host: "127.0.0.1", port }).end(bytes))),
  );
  assert.match(answers[0], /over http\/1\.1/);
  assert.deepEqual(answers.slice(1, 3), ["", ""]);
});

test("drain closes an idle HTTP/1.1 connection at once", async () => {
  const own = await start({});
  const socket = connect({ host: "127.0.0.1", port: portOf(own) });
  socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  await new Promise((resolve) => socket.once("data", resolve));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await own.drain(60_000);
  await closed;
});

test("drain closes at once what has not said which protocol it speaks", async () => {
  const own = await start({});
  const sockets = ["", "PRI * HT"].map((text) => {
    const socket = connect({ host: "127.0.0.1", port: portOf(own) });
    socket.write(text);
    socket.on("error", () => {});
    return socket;
  });
  const closed = sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
  // A connection that was accepted later has been answered: the two have been accepted.
  await (await open(true, portOf(own))).frame((each) => each.type === 4);
  for (const peer of peers) peer.close();
  await own.drain(60_000);
  await Promise.all(closed);
});

test("an idle connection is pinged, and closed when nothing answers", async () => {
  const own = await start({ keepaliveIntervalMs: 40, keepaliveTimeoutMs: 40 });
  const peer = await open(true, portOf(own));
  await peer.frame((each) => each.type === 6 && each.flags === 0);
  assert.deepEqual(await peer.goaway(), { code: 0, text: "keepalive timeout" });
  await own.drain(0);
});

test("drain: a first GOAWAY refuses nothing, a second names the last stream, the socket closes after it ended", async () => {
  const own = await start({});
  const peer = await open(true, portOf(own));
  peer.request(1, HANG);
  await log.until(() => log.hanging.size === 1);
  const [hanging] = log.hanging;
  const drained = own.drain(10_000);
  const ping = await peer.frame((each) => each.type === 6 && each.flags === 0);
  peer.request(3, "/test.T/Echo", "sent before the GOAWAY was seen");
  peer.write(frame(6, 1, 0, ping.payload));
  await peer.frame((each) => each.type === 7 && each.payload.readUInt32BE(0) === 3);
  peer.request(5, "/test.T/Echo", "too late");
  assert.equal(await peer.reset(5), 7);
  hanging.end(0, "");
  own.flush();
  await peer.frame((each) => each.type === 1 && each.streamId === 1);
  await drained;
});

test("a connection lost in the middle cancels its calls", async () => {
  const peer = await open();
  const cancelled = log.cancelled;
  const hanging = log.hanging.size;
  for (const id of [1, 3, 5]) peer.request(id, HANG);
  await log.until(() => log.hanging.size === hanging + 3);
  peer.close();
  await log.until(() => log.cancelled >= cancelled + 3);
});

/** DATA frames for a long message. */
function chunks(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / 16_000) }, (_, index) =>
    frame(0, 0, 1, bytes.subarray(index * 16_000, (index + 1) * 16_000)),
  );
}

test("a client that takes nothing of a stream without end is given up, and others are not", async () => {
  const own = await start({});
  const hungry = await open(true, portOf(own));
  const modest = await open(true, portOf(own));
  modest.request(1, "/test.T/Many", "1000");
  await modest.frame((each) => each.type === 0);
  // Its handler sends without asking how much waits.
  const messages = String(Math.ceil(PENDING_BYTES_MAX / MANY_BYTES) + 1);
  hungry.request(1, "/test.T/Many", messages);
  assert.deepEqual(await hungry.goaway(), { code: CALM, text: "client does not read" });
  modest.request(3, "/test.T/Fail", "still served");
  await modest.frame((each) => each.type === 1 && each.streamId === 3);
  for (const peer of peers) peer.close();
  await own.drain(0);
});
