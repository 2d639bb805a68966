/** Both transports with one service table, driven by the same grpc-js client: what a client sees must be the same. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { Client, compressionAlgorithms, credentials, Metadata, status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";

import { MANY_BYTES, TableLog, testTable } from "../../test/support/grpc-table.ts";
import { listenGrpcJs } from "./grpc-js-transport.ts";
import { listenNative } from "./native-transport.ts";
import type { ListenOptions } from "./native-transport.ts";
import { createMethodCounters } from "./service.ts";
import type { MethodCounters } from "./service.ts";

const RECEIVE_BYTES_MAX = 2_097_152;

type Outcome = { code: number; details: string; messages: Buffer[] };

const same = (bytes: Buffer): Buffer => bytes;

function options(log: TableLog): ListenOptions {
  return {
    services: testTable(log),
    limits: {
      receiveBytesMax: RECEIVE_BYTES_MAX,
      concurrentStreamsMax: 1_000,
      keepaliveMinTimeMs: 5_000,
      keepaliveIntervalMs: 0,
      keepaliveTimeoutMs: 0,
    },
    listeners: [{ host: "127.0.0.1", port: 0 }],
    http1: null,
  };
}

/** Sends all messages on one call of any kind, and collects what comes back. */
function call(
  client: Client,
  path: string,
  requests: Buffer[],
  settings: { deadlineMs?: number; metadata?: Metadata } = {},
): Promise<Outcome> {
  const deadline = settings.deadlineMs === undefined ? {} : { deadline: Date.now() + settings.deadlineMs };
  const stream = client.makeBidiStreamRequest(
    path,
    same,
    same,
    settings.metadata ?? new Metadata(),
    deadline,
  );
  const messages: Buffer[] = [];
  stream.on("data", (message: Buffer) => messages.push(message));
  stream.on("error", () => {});
  for (const request of requests) stream.write(request);
  stream.end();
  return new Promise((resolve) =>
    stream.on("status", ({ code, details }) => resolve({ code, details, messages })),
  );
}

for (const [name, listen] of [
  ["native", listenNative],
  ["grpc-js", listenGrpcJs],
] as const) {
  describe(`transport ${name}`, async () => {
    const log = new TableLog();
    const transport = await listen(options(log));
    const { port } = transport.addresses()[0] as { port: number };
    const target = `127.0.0.1:${port}`;
    const unlimited = { "grpc.max_receive_message_length": -1 };
    const client = new Client(target, credentials.createInsecure(), unlimited);
    const gzipClient = new Client(target, credentials.createInsecure(), {
      ...unlimited,
      "grpc.default_compression_algorithm": compressionAlgorithms.gzip,
    });
    after(async () => {
      client.close();
      gzipClient.close();
      await transport.drain(0);
    });

    test("unary echoes: empty, small, of a frame's size and more, up to the limit", async () => {
      for (const length of [0, 1, 100, 16_374, 16_379, 16_380, 70_000, 1_000_000, RECEIVE_BYTES_MAX]) {
        const request = Buffer.alloc(length, length % 251);
        const { code, messages } = await call(client, "/test.T/Echo", [request]);
        assert.equal(code, 0);
        assert.ok(messages.length === 1 && messages[0].equals(request), `${length} bytes`);
      }
    });

    test("a thousand calls at once each get their own answer", async () => {
      const answers = await Promise.all(
        Array.from({ length: 1_000 }, (_, index) =>
          call(client, "/test.T/Echo", [Buffer.from(`call ${index}`)]),
        ),
      );
      answers.forEach((answer, index) => assert.equal(String(answer.messages), `call ${index}`));
    });

    test("a message beyond the limit is RESOURCE_EXHAUSTED", async () => {
      const { code, details } = await call(client, "/test.T/Echo", [Buffer.alloc(RECEIVE_BYTES_MAX + 1)]);
      assert.equal(code, status.RESOURCE_EXHAUSTED);
      if (name === "native")
        assert.equal(details, "grpc: received message larger than max (2097153 vs. 2097152)");
    });

    test("statuses carry any text", async () => {
      for (const text of ["plain", "100% ünïcode\nand lines", " spaces ", "日本"]) {
        const { code, details } = await call(client, "/test.T/Fail", [Buffer.from(text)]);
        assert.deepEqual({ code, details }, { code: 9, details: text });
      }
    });

    test("unknown methods and services are UNIMPLEMENTED", async () => {
      const texts: [string, string][] = [
        ["/test.T/Nope", "unknown method Nope for service test.T"],
        ["/other.S/Nope", "unknown service other.S"],
      ];
      for (const [path, text] of texts) {
        const { code, details } = await call(client, path, [Buffer.from("x")]);
        assert.equal(code, status.UNIMPLEMENTED);
        if (name === "native") assert.equal(details, text);
      }
    });

    test("unary methods want exactly one message", async () => {
      for (const requests of [[], [Buffer.from("a"), Buffer.from("b")]]) {
        assert.equal((await call(client, "/test.T/Echo", requests)).code, status.INTERNAL);
      }
    });

    test("request metadata arrives", async () => {
      const metadata = new Metadata();
      metadata.set("token", "abc.123");
      const { messages } = await call(client, "/test.T/Header", [Buffer.from("token")], { metadata });
      assert.equal(String(messages), "abc.123");
    });

    test("a big answer in parts arrives whole", async () => {
      const { code, messages } = await call(client, "/test.T/Big", [Buffer.from("5000000")]);
      assert.equal(code, 0);
      assert.ok(messages[0].equals(Buffer.alloc(5_000_000, 5)));
    });

    test("server streaming, beyond the client's windows", async () => {
      const { code, messages } = await call(client, "/test.T/Many", [Buffer.from("2000")]);
      assert.equal(code, 0);
      assert.equal(messages.length, 2_000);
      assert.ok(messages.every((message) => message.length === MANY_BYTES));
    });

    test("client streaming, none and many", async () => {
      assert.equal(String((await call(client, "/test.T/Count", [])).messages), "0 0");
      const requests = Array.from({ length: 200 }, (_, index) => Buffer.alloc(index * 10));
      assert.equal(String((await call(client, "/test.T/Count", requests)).messages), "200 199000");
    });

    test("bidi answers each message before the next is sent", async () => {
      const stream = client.makeBidiStreamRequest("/test.T/Chat", same, same, new Metadata());
      const ended = new Promise((resolve) => stream.on("status", resolve));
      for (const text of ["one", "two", "three"]) {
        stream.write(Buffer.from(text));
        const answer = await new Promise<Buffer>((resolve) => stream.once("data", resolve));
        assert.equal(String(answer), text);
      }
      stream.end();
      assert.equal(((await ended) as { code: number }).code, 0);
    });

    test("gzip both ways", async () => {
      const request = Buffer.alloc(100_000, "compress me ");
      const { code, messages } = await call(gzipClient, "/test.T/Echo", [request]);
      assert.equal(code, 0);
      assert.ok(messages[0].equals(request));
      const beyond = await call(gzipClient, "/test.T/Echo", [Buffer.alloc(RECEIVE_BYTES_MAX + 1)]);
      assert.equal(beyond.code, status.RESOURCE_EXHAUSTED);
    });

    test("a passed deadline ends the call on both sides", async () => {
      const before = log.cancelled;
      const { code } = await call(client, "/test.T/Hang", [Buffer.from("x")], { deadlineMs: 50 });
      assert.equal(code, status.DEADLINE_EXCEEDED);
      await log.until(() => log.cancelled === before + 1);
    });

    test("a cancel reaches the handler, and sends after it are ignored", async () => {
      const before = log.cancelled;
      const stream = client.makeUnaryRequest(
        "/test.T/Hang",
        same,
        same,
        Buffer.from("x"),
        (error: ServiceError | null) => {
          assert.equal(error?.code, status.CANCELLED);
        },
      );
      await log.until(() => log.hanging.size === 1);
      const [hanging] = log.hanging;
      stream.cancel();
      await log.until(() => log.cancelled === before + 1);
      assert.equal(hanging.cancelled, true);
      hanging.sendMessage(Buffer.from("late"), 0, 4);
      hanging.end(0, "");
      assert.equal(String((await call(client, "/test.T/Echo", [Buffer.from("alive")])).messages), "alive");
    });

    test("paused, nothing new is delivered; resumed, everything is", async () => {
      await call(client, "/test.T/Echo", [Buffer.from("warm")]);
      transport.setPaused(true);
      const waiting = call(client, "/test.T/Echo", [Buffer.from("later")]);
      const first = await Promise.race([
        waiting,
        new Promise((resolve) => setTimeout(resolve, 30, "nothing")),
      ]);
      assert.equal(first, "nothing");
      transport.setPaused(false);
      assert.equal(String((await waiting).messages), "later");
    });

    test("calls, messages and bytes are counted by method and code", async () => {
      const ownLog = new TableLog();
      const base = options(ownLog);
      const counters = new Map([...base.services.keys()].map((path) => [path, createMethodCounters(true)]));
      const own = await listen({ ...base, counters });
      const ownClient = new Client(
        `127.0.0.1:${(own.addresses()[0] as { port: number }).port}`,
        credentials.createInsecure(),
      );
      const counted = (path: string) => {
        const { handledByCode, versions, durations, ...rest } = counters.get(path) as MethodCounters;
        return {
          ...rest,
          // Calls by version, and calls timed.
          versions: Object.fromEntries([...versions].map(([version, { calls }]) => [version, calls])),
          timed: durations?.count,
          codes: [...handledByCode].flatMap((count, code) => (count > 0 ? [[code, count]] : [])),
        };
      };
      await call(ownClient, "/test.T/Echo", [Buffer.alloc(10)]);
      await call(ownClient, "/test.T/Echo", [Buffer.alloc(5)]);
      assert.deepEqual(counted("/test.T/Echo"), {
        started: 2,
        messagesReceived: 2,
        messagesSent: 2,
        bytesReceived: 15,
        bytesSent: 15,
        codes: [[0, 2]],
        versions: { unknown: 2 },
        timed: 2,
      });
      await call(ownClient, "/test.T/Fail", [Buffer.from("no")]);
      assert.deepEqual(counted("/test.T/Fail"), {
        started: 1,
        messagesReceived: 1,
        messagesSent: 0,
        bytesReceived: 2,
        bytesSent: 0,
        codes: [[9, 1]],
        versions: { unknown: 1 },
        timed: 1,
      });
      await call(ownClient, "/test.T/Chat", [Buffer.alloc(1), Buffer.alloc(2)]);
      assert.deepEqual(counted("/test.T/Chat"), {
        started: 1,
        messagesReceived: 2,
        messagesSent: 2,
        bytesReceived: 3,
        bytesSent: 3,
        codes: [[0, 1]],
        versions: { unknown: 1 },
        timed: 1,
      });
      await call(ownClient, "/test.T/Big", [Buffer.from("100000")]);
      assert.equal(counted("/test.T/Big").bytesSent, 100_000);
      const hanging = ownClient.makeUnaryRequest("/test.T/Hang", same, same, Buffer.from("x"), () => {});
      await ownLog.until(() => ownLog.hanging.size === 1);
      hanging.cancel();
      await ownLog.until(() => ownLog.cancelled === 1);
      assert.deepEqual(counted("/test.T/Hang").codes, [[status.CANCELLED, 1]]);
      await call(ownClient, "/test.T/Echo", []);
      assert.equal(counted("/test.T/Echo").started, 2, "no handler saw it");
      ownClient.close();
      await own.drain(0);
    });

    test("a watcher is told how each unary call ended that its handler saw", async () => {
      const ownLog = new TableLog();
      const told: string[] = [];
      const own = await listen({
        ...options(ownLog),
        watcher: {
          thresholdMs: () => -1,
          onSlow: (
            { path, cancelled },
            { grpcCode, answer, start, end, answerBytes, startedMs, endedMs },
          ) => {
            assert.ok(startedMs > 0 && startedMs <= endedMs, `from ${startedMs} to ${endedMs}`);
            const text = Buffer.from(answer.subarray(start, end)).toString();
            told.push(`${path.slice(8)} ${grpcCode} ${answerBytes} ${text}${cancelled ? "cancelled" : ""}`);
          },
        },
      });
      const { port: ownPort } = own.addresses()[0] as { port: number };
      const ownClient = new Client(`127.0.0.1:${ownPort}`, credentials.createInsecure());
      await call(ownClient, "/test.T/Echo", [Buffer.from("abc")]);
      await call(ownClient, "/test.T/Echo", []);
      await call(ownClient, "/test.T/Chat", [Buffer.from("a")]);
      await call(ownClient, "/test.T/Fail", [Buffer.from("no")]);
      await call(ownClient, "/test.T/Big", [Buffer.from("70000")]);
      const hanging = ownClient.makeUnaryRequest("/test.T/Hang", same, same, Buffer.from("x"), () => {});
      await ownLog.until(() => ownLog.hanging.size === 1);
      hanging.cancel();
      await ownLog.until(() => ownLog.cancelled === 1);
      assert.deepEqual(told, ["Echo 0 3 abc", "Fail 9 0 ", "Big 0 70000 ", "Hang 1 0 cancelled"]);
      ownClient.close();
      await own.drain(0);
    });

    test("drain lets calls in progress end, and then everything is closed", async () => {
      const ownLog = new TableLog();
      const own = await listen(options(ownLog));
      const ownAddress = own.addresses()[0] as { port: number };
      const ownClient = new Client(`127.0.0.1:${ownAddress.port}`, credentials.createInsecure());
      const answer = new Promise<Buffer | undefined>((resolve, reject) => {
        ownClient.makeUnaryRequest("/test.T/Hang", same, same, Buffer.from("x"), (error, value?: Buffer) => {
          if (error) reject(error);
          else resolve(value);
        });
      });
      await ownLog.until(() => ownLog.hanging.size === 1);
      const drained = own.drain(5_000);
      const [hanging] = ownLog.hanging;
      hanging.sendMessage(Buffer.from("done"), 0, 4);
      hanging.end(0, "");
      own.flush();
      assert.equal(String(await answer), "done");
      ownClient.close();
      await drained;
    });
  });
}
