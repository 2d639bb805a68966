/** Watches over a stream that a test plays the server of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { GrpcCode } from "../base/errors.ts";
import {
  type Watch,
  type WatchRequest,
  WatchRequestSchema,
  WatchResponseSchema,
} from "../proto/gen/rpc_pb.ts";
import { EtcdError } from "./etcd-error.ts";
import type { OpenStream, StreamCall, StreamHandlers } from "./stream-call.ts";
import { WatchStream } from "./watch-stream.ts";
import { QUEUED_EVENTS_MAX, WatchCanceledError, type Watcher } from "./watcher.ts";

type Method = (typeof Watch)["method"]["watch"];

/** The other end of a stream: keeps the requests, and answers when it is told to. */
class FakeServer {
  readonly requests: WatchRequest["requestUnion"][] = [];
  opened = 0;
  #handlers: StreamHandlers<Method> | undefined;

  readonly open: OpenStream<Method> = (handlers) => {
    this.opened++;
    this.#handlers = handlers;
    const call = {
      send: (request: MessageInitShape<typeof WatchRequestSchema>) => {
        this.requests.push(create(WatchRequestSchema, request).requestUnion);
      },
      cancel: () => (this.#handlers = undefined),
    };
    return Promise.resolve(call as unknown as StreamCall<Method>);
  };

  get isOpen(): boolean {
    return this.#handlers !== undefined;
  }

  respond(response: MessageInitShape<typeof WatchResponseSchema>): void {
    this.#handlers?.onMessage(create(WatchResponseSchema, response));
  }

  created(watchId: bigint, revision: bigint): void {
    this.respond({ watchId, created: true, header: { revision } });
  }

  /** An event of each revision. */
  events(watchId: bigint, ...revisions: bigint[]): void {
    this.respond({ watchId, header: { revision: revisions.at(-1)! }, events: revisions.map(event) });
  }

  break(error = new EtcdError(GrpcCode.unavailable, "gone")): void {
    const handlers = this.#handlers;
    this.#handlers = undefined;
    handlers?.onEnd(error);
  }

  /** Start revisions of the creations so far. */
  get starts(): bigint[] {
    return this.requests.flatMap((each) => (each.case === "createRequest" ? [each.value.startRevision] : []));
  }
}

const event = (modRevision: bigint) => ({ kv: { key: Buffer.from("k"), modRevision } });

function start(): { server: FakeServer; stream: WatchStream } {
  const server = new FakeServer();
  return { server, stream: new WatchStream(server.open) };
}

/** Lets everything that is due happen. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Waits until a stream was opened that often: there is a pause before. */
async function whenOpened(server: FakeServer, times: number): Promise<void> {
  while (server.opened < times) await new Promise((resolve) => setTimeout(resolve, 1));
  await settle();
}

async function nextRevisions(watcher: Watcher): Promise<bigint[]> {
  const { value } = await watcher.next();
  return value?.events.map(({ kv }) => kv?.modRevision ?? 0n) ?? [];
}

test("a watch without start revision is resumed behind the revision of its creation", async () => {
  const { server, stream } = start();
  const watcher = stream.watch({ key: Buffer.from("k") });
  await settle();
  server.created(0n, 7n);
  assert.equal((await watcher.created).header?.revision, 7n);
  server.break();
  await whenOpened(server, 2);
  assert.deepEqual(server.starts, [0n, 8n]);
});

test("a resumed watch goes on behind the last event, whatever was read", async () => {
  const { server, stream } = start();
  const watcher = stream.watch({ key: Buffer.from("k"), startRevision: 3n });
  await settle();
  server.created(0n, 9n);
  server.events(0n, 3n, 4n);
  server.break();
  await whenOpened(server, 2);
  server.created(5n, 9n);
  server.events(5n, 5n);
  assert.deepEqual(server.starts, [3n, 5n]);
  assert.deepEqual(await nextRevisions(watcher), [3n, 4n]);
  assert.deepEqual(await nextRevisions(watcher), [5n]);
});

test("creations are answered in order, and events go to the watch they are for", async () => {
  const { server, stream } = start();
  const [a, b] = ["a", "b"].map((key) => stream.watch({ key: Buffer.from(key) }));
  await settle();
  server.created(10n, 1n);
  server.created(20n, 1n);
  server.events(20n, 2n);
  server.events(10n, 3n);
  assert.deepEqual(await nextRevisions(a), [3n]);
  assert.deepEqual(await nextRevisions(b), [2n]);
});

test("fragments are put together; a break in between begins the whole response again", async () => {
  const { server, stream } = start();
  const watcher = stream.watch({ key: Buffer.from("k"), startRevision: 2n, fragment: true });
  await settle();
  server.created(0n, 5n);
  server.respond({ watchId: 0n, fragment: true, header: { revision: 2n }, events: [event(2n)] });
  server.break();
  await whenOpened(server, 2);
  assert.deepEqual(server.starts, [2n, 2n]);
  server.created(0n, 5n);
  server.respond({ watchId: 0n, fragment: true, header: { revision: 2n }, events: [event(2n)] });
  server.respond({ watchId: 0n, header: { revision: 2n }, events: [event(2n)] });
  assert.deepEqual(await nextRevisions(watcher), [2n, 2n]);
});

test("a watcher that is not read is parked, the others go on, and it comes back where it was", async () => {
  const { server, stream } = start();
  const [slow, quick] = ["slow", "quick"].map((key) => stream.watch({ key: Buffer.from(key) }));
  await settle();
  server.created(0n, 1n);
  server.created(1n, 1n);
  const many = Array.from({ length: QUEUED_EVENTS_MAX + 1 }, (_, i) => BigInt(i + 2));
  server.events(0n, ...many);
  const last = server.requests.at(-1);
  assert.ok(last?.case === "cancelRequest" && last.value.watchId === 0n);
  server.events(0n, 1_000_000n); // was under way
  server.events(1n, 5n);
  assert.deepEqual(await nextRevisions(quick), [5n]);
  assert.equal((await nextRevisions(slow)).length, many.length);
  assert.equal(server.starts.at(-1), many.at(-1)! + 1n);
  server.created(2n, 1_000_000n);
  server.events(2n, 1_000_000n);
  assert.deepEqual(await nextRevisions(slow), [1_000_000n]);
});

test("a compacted watch throws once, with the revision to begin at, after what came before", async () => {
  const { server, stream } = start();
  const watcher = stream.watch({ key: Buffer.from("k"), startRevision: 1n });
  await settle();
  server.created(0n, 9n);
  server.events(0n, 1n);
  server.respond({ watchId: 0n, canceled: true, compactRevision: 5n, header: { revision: 9n } });
  assert.deepEqual(await nextRevisions(watcher), [1n]);
  await assert.rejects(
    watcher.next(),
    (error: WatchCanceledError) => error.compactRevision === 5n && /has been compacted/.test(error.message),
  );
  assert.equal((await watcher.next()).done, true);
  assert.equal(server.isOpen, false);
});

test("a refused creation ends its watch alone", async () => {
  const { server, stream } = start();
  const [refused, other] = ["a", "b"].map((key) => stream.watch({ key: Buffer.from(key) }));
  await settle();
  server.respond({
    watchId: -1n,
    created: true,
    canceled: true,
    cancelReason: "no",
    header: { revision: 1n },
  });
  server.created(0n, 1n);
  server.events(0n, 2n);
  await assert.rejects(refused.created, { message: "no" });
  await assert.rejects(refused.next(), WatchCanceledError);
  assert.deepEqual(await nextRevisions(other), [2n]);
});

test("progress for the whole stream goes to every watch, and moves the revision it would be resumed at", async () => {
  const { server, stream } = start();
  const watcher = stream.watch({ key: Buffer.from("k") });
  await settle();
  server.created(0n, 1n);
  stream.requestProgress();
  assert.equal(server.requests.at(-1)?.case, "progressRequest");
  server.respond({ watchId: -1n, header: { revision: 40n } });
  assert.equal((await watcher.next()).value?.header?.revision, 40n);
  server.break();
  await whenOpened(server, 2);
  assert.equal(server.starts.at(-1), 41n);
});

test("the last cancelled watch closes the stream; one that is cancelled before it is created is cancelled then", async () => {
  const { server, stream } = start();
  const watcher = stream.watch({ key: Buffer.from("k") });
  const waiting = watcher.next();
  await settle();
  watcher.cancel();
  assert.equal((await waiting).done, true);
  assert.equal(server.isOpen, true);
  server.created(3n, 1n);
  const last = server.requests.at(-1);
  assert.ok(last?.case === "cancelRequest" && last.value.watchId === 3n);
  assert.equal(server.isOpen, false);
});

test("an error that no other connection would help against ends all watches", async () => {
  const { server, stream } = start();
  const watchers = ["a", "b"].map((key) => stream.watch({ key: Buffer.from(key) }));
  await settle();
  server.break(new EtcdError(GrpcCode.permissionDenied, "etcdserver: permission denied"));
  for (const watcher of watchers) {
    await assert.rejects(watcher.next(), { message: "etcdserver: permission denied" });
  }
  assert.equal(server.opened, 1);
});
