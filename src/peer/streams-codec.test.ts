import assert from "node:assert/strict";
import { test } from "node:test";
import { type EntryBatch, MessageType, type RaftMessage } from "../raft/raft.ts";
import { AppendStreamEncoder, AppendStreamParser } from "./append-stream.ts";
import { EntryView } from "./entry-view.ts";
import { FrameAssembler, type FrameParser } from "./frame-assembler.ts";
import { MessageStreamEncoder, MessageStreamParser, type StreamEncoder } from "./message-stream.ts";
import { OutputBuffer } from "./output-buffer.ts";
import { MessageDecoder, emptyMessage } from "./raft-message-decode.ts";

const LINK_HEARTBEAT = "00000000000000140808100018002000280030004000500058006800";

function batchOf(firstIndex: number, term: number, texts: readonly string[]): EntryBatch {
  const view = new EntryView();
  const bytes = Buffer.from(texts.join(""));
  view.reset(bytes);
  let at = 0;
  for (const text of texts) view.add(0, term, at, (at += text.length));
  view.firstIndex = firstIndex;
  return view;
}

/** MsgApp of term `term` behind `index` (whose entry has `logTerm`). */
function append(
  term: number,
  logTerm: number,
  index: number,
  texts: readonly string[],
  commit = index,
): RaftMessage {
  const batch = batchOf(index + 1, term, texts);
  const entries = texts.length === 0 ? [] : [{ batch, from: 0, count: texts.length }];
  return {
    ...emptyMessage(),
    type: MessageType.app,
    to: 1n,
    from: 2n,
    term,
    logTerm,
    index,
    commit,
    entries,
  };
}

function encodeAll(encoder: StreamEncoder, messages: readonly (RaftMessage | null)[]): Buffer {
  const out = new OutputBuffer();
  for (const message of messages) {
    if (message === null) encoder.encodeLinkHeartbeat(out);
    else encoder.encode(out, message);
  }
  return Buffer.from(out.bytes.subarray(0, out.length));
}

/** What was received, in words. */
class Inbox {
  readonly lines: string[] = [];
  readonly take = (message: RaftMessage): void => {
    const texts = message.entries.flatMap(({ batch, from, count }) =>
      Array.from(
        { length: count },
        (_, i) =>
          `${batch.firstIndex + from + i}@${batch.term(from + i)}=${Buffer.from(batch.bytes.subarray(batch.dataStart(from + i), batch.dataEnd(from + i))).toString()}`,
      ),
    );
    const { type, from, to, term, logTerm, index, commit } = message;
    this.lines.push(`${type} ${from}>${to} t${term} ${index}@${logTerm} c${commit} ${texts.join(",")}`);
  };

  appends(): FrameParser {
    return new AppendStreamParser(new MessageDecoder(), { local: 1n, remote: 2n }, this.take);
  }

  messages(): FrameParser {
    return new MessageStreamParser(new MessageDecoder(), this.take);
  }
}

test("appends: the first in full, what continues it without its message, byte for byte as etcd writes it", () => {
  const bytes = encodeAll(new AppendStreamEncoder(), [
    append(5, 5, 9, ["hi"]),
    append(5, 5, 10, ["yo"]),
    null,
    append(5, 5, 11, []),
  ]);
  assert.equal(
    bytes.toString("hex"),
    [
      "020000000000000020",
      "0803100118022005280530093a0a08001005180a220268694009500058006800",
      "010000000000000001000000000000000a08001005180b2202796f000000000000000a",
      "00",
      "010000000000000000000000000000000b",
    ].join(""),
  );
});

/** New term, gap, repetition, commit bump, many entries: all that changes an encoder's mind. */
const TRAFFIC: readonly (RaftMessage | null)[] = [
  append(5, 5, 9, ["hi"]),
  append(5, 5, 10, ["a", "", "ccc"]),
  null,
  append(5, 5, 13, [], 12),
  append(5, 5, 20, ["gap"]),
  append(5, 5, 20, ["again"]),
  append(6, 5, 21, ["new term"]),
  append(6, 6, 22, ["continues"]),
  append(
    6,
    6,
    23,
    Array.from({ length: 300 }, (_, i) => `entry ${i}`),
  ),
  append(6, 6, 323, ["x".repeat(5000)]),
];
const TRAFFIC_LINES = ((): readonly string[] => {
  const inbox = new Inbox();
  for (const message of TRAFFIC) if (message !== null) inbox.take(message);
  return inbox.lines;
})();

for (const [name, encoder, parserOf] of [
  ["appends", () => new AppendStreamEncoder(), (inbox: Inbox) => inbox.appends()],
  ["messages", () => new MessageStreamEncoder(), (inbox: Inbox) => inbox.messages()],
] as const) {
  test(`${name}: whatever the chunks, the same messages come out`, () => {
    const bytes = encodeAll(encoder(), TRAFFIC);
    for (const chunkBytes of [1, 2, 7, 64, 1000, bytes.length]) {
      const inbox = new Inbox();
      const assembler = new FrameAssembler(parserOf(inbox));
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        assert.ok(assembler.push(bytes.subarray(at, at + chunkBytes)), `chunks of ${chunkBytes}`);
      }
      assert.deepEqual(inbox.lines, TRAFFIC_LINES, `chunks of ${chunkBytes}`);
    }
  });

  test(`${name}: damaged bytes end the stream or are read as something else, never throw`, () => {
    const bytes = encodeAll(encoder(), TRAFFIC.slice(0, 8));
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at] ^= 0x83;
      new FrameAssembler(parserOf(new Inbox())).push(damaged);
    }
  });
}

test("messages: the link heartbeat is 28 bytes and never handed on; that of etcd 3.5 neither", () => {
  assert.equal(encodeAll(new MessageStreamEncoder(), [null]).toString("hex"), LINK_HEARTBEAT);
  const inbox = new Inbox();
  const assembler = new FrameAssembler(inbox.messages());
  assert.ok(assembler.push(Buffer.from(LINK_HEARTBEAT, "hex")));
  const old = "000000000000001e08081000180020002800300040004a0a12080a0228001000180050005800";
  assert.ok(assembler.push(Buffer.from(old, "hex")));
  assert.deepEqual(inbox.lines, []);
});

test("frames beyond the limit and unknown kinds of frames end the stream at once", () => {
  const tooLong = Buffer.from("0000000020000001", "hex");
  assert.equal(new FrameAssembler(new Inbox().messages()).push(tooLong), false);
  assert.equal(new FrameAssembler(new Inbox().appends()).push(Buffer.concat([Buffer.of(2), tooLong])), false);
  assert.equal(new FrameAssembler(new Inbox().appends()).push(Buffer.of(3)), false);
  const oneHugeEntry = Buffer.concat([Buffer.from("010000000000000001", "hex"), tooLong]);
  assert.equal(new FrameAssembler(new Inbox().appends()).push(oneHugeEntry), false);
});

test("entries that do not continue the log end the stream", () => {
  const encoder = new AppendStreamEncoder();
  const bytes = encodeAll(encoder, [append(5, 5, 9, ["hi"]), append(5, 5, 10, ["yo"])]);
  // Index 11 of the second entry becomes 12.
  bytes[bytes.lastIndexOf(0x0b)] = 0x0c;
  const inbox = new Inbox();
  assert.equal(new FrameAssembler(inbox.appends()).push(bytes), false);
  assert.equal(inbox.lines.length, 1);
});

test("after close nothing more is handed on, even of the chunk at hand", () => {
  let assembler: FrameAssembler | null = null;
  let received = 0;
  const parser = new MessageStreamParser(new MessageDecoder(), () => {
    received++;
    assembler?.close();
  });
  assembler = new FrameAssembler(parser);
  assert.equal(assembler.push(encodeAll(new MessageStreamEncoder(), TRAFFIC.slice(0, 2))), false);
  assert.equal(received, 1);
});
