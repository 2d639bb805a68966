import assert from "node:assert/strict";
import { test } from "node:test";
import { EntryType, type EntryBatch, MessageType, type RaftMessage } from "../raft/raft.ts";
import { EntryView } from "./entry-view.ts";
import { OutputBuffer } from "./output-buffer.ts";
import { MessageDecoder, emptyMessage } from "./raft-message-decode.ts";
import { encodeMessage } from "./raft-message-encode.ts";

const CONF_STATE = {
  voters: [1n, 0xb8ea37086f531138n],
  learners: [3n],
  votersOutgoing: [1n, 2n],
  learnersNext: [2n],
  autoLeave: true,
};

/** A batch of entries [type, term, data], some bytes before each. */
function batchOf(
  firstIndex: number,
  entries: readonly (readonly [number, number, Uint8Array | string])[],
): EntryBatch {
  const parts = entries.map(([, , data]) => Buffer.from(data));
  const bytes = Buffer.concat(parts.flatMap((part) => [Buffer.from("xyz"), part]));
  const view = new EntryView();
  view.reset(bytes);
  let at = 0;
  entries.forEach(([type, term], i) => {
    view.add(type, term, at + 3, at + 3 + parts[i].length);
    at += 3 + parts[i].length;
  });
  view.firstIndex = firstIndex;
  return view;
}

function message(fields: Partial<RaftMessage>): RaftMessage {
  return { ...emptyMessage(), ...fields };
}

/** What a message says, entries copied. */
function plain(given: RaftMessage): object {
  const entries = given.entries.flatMap(({ batch, from, count }) =>
    Array.from({ length: count }, (_, k) => ({
      type: batch.type(from + k),
      term: batch.term(from + k),
      index: batch.firstIndex === 0 ? 0 : batch.firstIndex + from + k,
      data: Buffer.from(batch.bytes.subarray(batch.dataStart(from + k), batch.dataEnd(from + k))).toString(
        "latin1",
      ),
    })),
  );
  const context = given.context === null ? null : Buffer.from(given.context).toString("latin1");
  return { ...given, entries, context };
}

// [bytes made by go.etcd.io/raft v3.6.0, the message]
const app = batchOf(70000, [
  [EntryType.normal, 1, "not sent"],
  [EntryType.normal, 299, "hello"],
  [EntryType.normal, 300, ""],
  [EntryType.confChange, 300, new Uint8Array(200)],
]);
const VECTORS: Readonly<Record<string, readonly [string, RaftMessage]>> = {
  empty: ["0800100018002000280030004000500058006800", message({})],
  linkHeartbeat: ["0808100018002000280030004000500058006800", message({ type: MessageType.heartbeat })],
  app: [
    "080310b8a2ccfa86e18df5b80118d7c39eb5cdeaa2df2b20ac0228ab0230f0a2043a10080010ab0218f1a204220568656c6c6f3a09080010ac0218f2a2043ad401080110ac0218f3a20422c801" +
      "00".repeat(200) +
      "40efa204500058006800",
    message({
      type: MessageType.app,
      to: 0xb8ea37086f531138n,
      from: 0x2bbe8b54d6a7a1d7n,
      term: 300,
      logTerm: 299,
      index: 70000,
      commit: 69999,
      entries: [
        { batch: app, from: 1, count: 2 },
        { batch: app, from: 3, count: 1 },
      ],
    }),
  ],
  appResp: [
    "0804100118022007280530ffffffffffffff0f4000500158808080801068ffffffffffffffffff01",
    message({
      type: MessageType.appResp,
      to: 1n,
      from: 2n,
      term: 7,
      logTerm: 5,
      index: Number.MAX_SAFE_INTEGER,
      reject: true,
      rejectHint: 2 ** 32,
      vote: 2n ** 64n - 1n,
    }),
  ],
  vote: [
    "08051001180220072805300c400050005800621043616d706169676e5472616e736665726800",
    message({
      type: MessageType.vote,
      to: 1n,
      from: 2n,
      term: 7,
      logTerm: 5,
      index: 12,
      context: Buffer.from("CampaignTransfer"),
    }),
  ],
  heartbeatWithEmptyContext: [
    "08081001180220072800300040035000580062006800",
    message({
      type: MessageType.heartbeat,
      to: 1n,
      from: 2n,
      term: 7,
      commit: 3,
      context: new Uint8Array(0),
    }),
  ],
  proposal: [
    "0802100118022000280030003a090800100018002201613a0a080110001800220262634000500058006800",
    message({
      type: MessageType.prop,
      to: 1n,
      from: 2n,
      entries: [
        {
          batch: batchOf(0, [
            [EntryType.normal, 0, "a"],
            [EntryType.confChange, 0, "bc"],
          ]),
          from: 0,
          count: 2,
        },
      ],
    }),
  ],
  readIndex: [
    "080f100118022000280030003a10080010001800220800010203040506074000500058006800",
    message({
      type: MessageType.readIndex,
      to: 1n,
      from: 2n,
      entries: [
        {
          batch: batchOf(0, [[EntryType.normal, 0, Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7)]]),
          from: 0,
          count: 1,
        },
      ],
    }),
  ],
};

const SNAP =
  "08071001180220072800300040004a2d0a0a7b22526f6f74223a317d121f0a17080108b8a2ccfa86e18df5b8011003180118022002280110a08d061806500058006800";
const SNAP_MESSAGE = message({
  type: MessageType.snap,
  to: 1n,
  from: 2n,
  term: 7,
  snapshot: { index: 100000, term: 6, confState: CONF_STATE },
});

function encode(given: RaftMessage, data?: Uint8Array): string {
  const out = new OutputBuffer();
  encodeMessage(out, given, data);
  return out.bytes.subarray(0, out.length).toString("hex");
}

function decode(hex: string): RaftMessage | null {
  const bytes = Buffer.from(hex, "hex");
  return new MessageDecoder().decode(bytes, 0, bytes.length);
}

for (const [name, [hex, given]] of Object.entries(VECTORS)) {
  test(`${name}: the bytes that raft's own codec writes, and back`, () => {
    assert.equal(encode(given), hex);
    const decoded = decode(hex);
    assert.ok(decoded !== null);
    assert.deepEqual(plain(decoded), plain(given));
  });
}

test("a snapshot message carries metadata and the v2 store's data, which we do not read back", () => {
  assert.equal(encode(SNAP_MESSAGE, Buffer.from(`{"Root":1}`)), SNAP);
  assert.deepEqual(decode(SNAP), SNAP_MESSAGE);
});

test("the variant of etcd 3.5: an empty snapshot in every message, no vote", () => {
  const decoded = decode("08081000180020002800300040004a0a12080a0228001000180050005800");
  assert.deepEqual(decoded, message({ type: MessageType.heartbeat }));
});

test("traces of a message are read back; a field that is none of ours is passed over", () => {
  const context = (first: number): Uint8Array => new Uint8Array(24).map((_, i) => first + i);
  const traces = [
    { position: 0, context: context(1) },
    { position: 70_000, context: context(100) },
  ];
  const given = message({ type: MessageType.prop, to: 1n, from: 2n, traces });
  const out = new OutputBuffer();
  encodeMessage(out, given);
  const hex = Buffer.from(out.bytes.subarray(0, out.length)).toString("hex");
  assert.ok(hex.includes("c23e38"), "field 1000, 56 bytes");
  assert.deepEqual(decode(hex), given);
  const plain = message({ type: MessageType.prop });
  for (const none of ["c23e00", "c23e03aabbcc", `c23e1d${"00".repeat(29)}`])
    assert.deepEqual(decode(`0802${none}`), plain);
  assert.equal(decode("0802c23e1c00"), null, "cut short");
});

test("unknown fields are skipped, and responses are not read", () => {
  assert.deepEqual(
    decode("080810017200f801011802"),
    message({ type: MessageType.heartbeat, to: 1n, from: 2n }),
  );
});

test("entries that do not follow each other, or not the message's index, are refused", () => {
  const entry = (index: number): string => `3a060800100118${index.toString(16).padStart(2, "0")}`;
  const head = "0803100118022001280130";
  assert.ok(decode(`${head}09${entry(10)}${entry(11)}`) !== null);
  assert.equal(decode(`${head}09${entry(10)}${entry(12)}`), null);
  assert.equal(decode(`${head}09${entry(10)}${entry(10)}`), null);
  assert.equal(decode(`${head}08${entry(10)}`), null);
});

test("terms and indexes beyond 2^53 - 1 are refused", () => {
  assert.equal(decode("0804208080808080808010"), null);
  assert.ok(decode("080420ffffffffffffff0f") !== null);
});

test("no truncation and no flipped byte makes the decoder throw", () => {
  for (const [hex] of [...Object.values(VECTORS), [SNAP]]) {
    const bytes = Buffer.from(hex, "hex");
    const decoder = new MessageDecoder();
    for (let end = 0; end < bytes.length; end++) decoder.decode(bytes, 0, end);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at] ^= 0x5a;
      const decoded = decoder.decode(damaged, 0, damaged.length);
      for (const { batch, count } of decoded?.entries ?? []) {
        for (let i = 0; i < count; i++)
          assert.ok(batch.dataStart(i) <= batch.dataEnd(i) && batch.dataEnd(i) <= bytes.length);
      }
    }
  }
});
