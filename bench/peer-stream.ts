/**
 * One append stream between two members on loopback, each in a process of its own: entries a second, and what an entry costs
 * each side. And the codec alone. `node bench/peer-stream.ts [entry bytes] [entries a message]`
 */
import { fork } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { AppendStreamEncoder, AppendStreamParser } from "../src/peer/append-stream.ts";
import { EntryView } from "../src/peer/entry-view.ts";
import { FrameAssembler } from "../src/peer/frame-assembler.ts";
import { OutputBuffer } from "../src/peer/output-buffer.ts";
import { PeerTransport } from "../src/peer/peer-transport.ts";
import { MessageDecoder, emptyMessage } from "../src/peer/raft-message-decode.ts";
import type { PeerEvents } from "../src/raft/peer-network.ts";
import { MessageType, type RaftMessage } from "../src/raft/raft.ts";

const isReceiver = process.argv[2] === "receive";
const entryBytes = Number(process.argv[isReceiver ? 3 : 2] ?? 256);
const entriesAMessage = Number(process.argv[isReceiver ? 4 : 3] ?? 64);
const SECONDS = 3;
const SOCKET_BYTES_MAX = 4 * 1024 * 1024;
const source = Buffer.alloc(entryBytes * entriesAMessage, "0123456789abcdef");

/** A message with the next entries: the batch is one and the same, with other indexes. */
class Appends {
  readonly #view = new EntryView();
  #index = 1;

  next(): RaftMessage {
    const view = this.#view;
    view.reset(source);
    for (let i = 0; i < entriesAMessage; i++) view.add(0, 2, i * entryBytes, (i + 1) * entryBytes);
    view.firstIndex = this.#index + 1;
    const index = this.#index;
    this.#index += entriesAMessage;
    const ids = { from: 1n, to: 2n, type: MessageType.app };
    const entries = [{ batch: view, from: 0, count: entriesAMessage }];
    return { ...emptyMessage(), ...ids, term: 2, logTerm: 2, index, commit: index, entries };
  }
}

function benchCodec(): void {
  const out = new OutputBuffer();
  const rounds = Math.ceil(400_000 / entriesAMessage);
  for (let pass = 0; pass < 2; pass++) {
    const encoder = new AppendStreamEncoder();
    const appends = new Appends();
    let entries = 0;
    const receive = (message: RaftMessage): void => void (entries += message.entries[0].count);
    const parser = new AppendStreamParser(new MessageDecoder(), { local: 2n, remote: 1n }, receive);
    const assembler = new FrameAssembler(parser);
    let encodeMs = 0;
    let decodeMs = 0;
    for (let i = 0; i < rounds; i++) {
      const message = appends.next();
      const start = performance.now();
      out.length = 0;
      encoder.encode(out, message);
      const encoded = performance.now();
      assembler.push(out.bytes.subarray(0, out.length));
      encodeMs += encoded - start;
      decodeMs += performance.now() - encoded;
    }
    if (pass === 0) continue;
    const ns = (ms: number): string => ((ms * 1e6) / entries).toFixed(0);
    console.log(
      `codec       encode ${ns(encodeMs)} ns, decode ${ns(decodeMs)} ns an entry of ${entryBytes} B`,
    );
  }
}

async function listen(id: bigint, events: Partial<PeerEvents>): Promise<PeerTransport> {
  const transport = await PeerTransport.listen({
    local: { memberId: id, clusterId: 7n, peerUrls: ["http://127.0.0.1:1"] },
    listenUrls: ["http://127.0.0.1:0"],
    snapshotFolder: fs.mkdtempSync(path.join(os.tmpdir(), "peer-bench-")),
    clock: { monotonicMs: () => performance.now(), unixMs: () => Date.now() },
    log: () => {},
  });
  transport.start({
    receive() {},
    unreachable() {},
    snapshotStatus() {},
    peerRequest: () => false,
    removedFromCluster() {},
    ...events,
  });
  return transport;
}

/** Tells the transport who the two members are, at which ports. */
function introduce(transport: PeerTransport, ports: readonly [number, number]): void {
  const members = ports.map((port, i) => ({
    id: String(i + 1),
    name: "",
    peerUrls: [`http://127.0.0.1:${port}`],
    clientUrls: [],
    isLearner: false,
  }));
  const report = { index: 1, members, removed: [], clusterVersion: "3.6.0" };
  transport.setMembership(Buffer.from(JSON.stringify(report)));
}

/** CPU of this process per entry, in microseconds. */
function cpuText(usage: NodeJS.CpuUsage, entries: number): string {
  return `${((usage.user + usage.system) / entries).toFixed(2)} us CPU an entry`;
}

/** The child: counts what comes, and answers nothing. */
async function receiveAll(): Promise<void> {
  let entries = 0;
  let cpu: NodeJS.CpuUsage | undefined;
  const transport = await listen(2n, {
    receive(message) {
      cpu ??= process.cpuUsage();
      for (const slice of message.entries) entries += slice.count;
    },
  });
  process.on("message", (message: number | "report") => {
    if (message === "report") process.send?.({ entries, text: cpuText(process.cpuUsage(cpu), entries) });
    else introduce(transport, [message, transport.ports[0]]);
  });
  process.send?.({ port: transport.ports[0] });
}

async function benchStream(): Promise<void> {
  const child = fork(import.meta.filename, ["receive", String(entryBytes), String(entriesAMessage)]);
  const reply = <T>(): Promise<T> =>
    new Promise((resolve) => child.once("message", (value) => resolve(value as T)));
  const { port } = await reply<{ port: number }>();
  const transport = await listen(1n, {});
  introduce(transport, [transport.ports[0], port]);
  child.send(transport.ports[0]);
  const writer = transport.peer(2n)?.writer("msgapp");
  if (writer === undefined) throw new Error("no peer");
  while (!writer.isAttached) await new Promise((resolve) => setTimeout(resolve, 5));
  const appends = new Appends();
  const cpu = process.cpuUsage();
  const start = performance.now();
  let sent = 0;
  while (performance.now() - start < SECONDS * 1000) {
    while (writer.queuedBytes < SOCKET_BYTES_MAX && performance.now() - start < SECONDS * 1000) {
      transport.send([appends.next()]);
      sent += entriesAMessage;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  const seconds = (performance.now() - start) / 1000;
  const sender = cpuText(process.cpuUsage(cpu), sent);
  child.send("report");
  const { entries, text } = await reply<{ entries: number; text: string }>();
  const rate = (entries / seconds / 1000).toFixed(0);
  const megabytes = ((entries * entryBytes) / seconds / 1e6).toFixed(0);
  console.log(
    `stream      ${rate} k entries/s, ${megabytes} MB/s (${entryBytes} B, ${entriesAMessage} a message)`,
  );
  console.log(`            sender ${sender}, receiver ${text}`);
  child.kill();
  await transport.stop();
}

if (isReceiver) await receiveAll();
else {
  benchCodec();
  await benchStream();
}
