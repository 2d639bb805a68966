import { test, describe } from "node:test";
import { deepEqual, equal, notEqual, ok, throws } from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { Prng } from "../base/prng.ts";
import { Doorbell, createDoorbellMemory } from "./doorbell.ts";
import { MemoryRing } from "./memory-ring.ts";
import { SharedRingReader, SharedRingWriter, createRingMemory, readRingStats } from "./shared-ring.ts";
import type { RingReader, RingWriter } from "./ring.ts";

interface Ends {
  writer: RingWriter;
  reader: RingReader;
}

function sharedRing(bytes: number): Ends & { memory: SharedArrayBuffer } {
  const memory = createRingMemory(bytes);
  return {
    memory,
    writer: new SharedRingWriter(memory, new Doorbell(createDoorbellMemory())),
    reader: new SharedRingReader(memory),
  };
}

function memoryRing(bytes: number): Ends {
  const ring = new MemoryRing(bytes);
  return { writer: ring, reader: ring };
}

function collect(reader: RingReader, max = Infinity): Array<[number, number, number, string]> {
  const records: Array<[number, number, number, string]> = [];
  reader.drain((type, flags, id, bytes, start, end) => {
    records.push([type, flags, id, Buffer.from(bytes.subarray(start, end)).toString("latin1")]);
  }, max);
  return records;
}

const text = (s: string): Uint8Array => Buffer.from(s, "latin1");

// The second ring begins anew when it is empty, long before its end.
for (const [ringBytes, payloadBytesMax, found] of [
  [1024, 120, 2000],
  [128 * 1024, 1000, 20_000],
] as const)
  test(`a record is recalled from ${ringBytes} bytes as long as nothing was written over it, and never in part`, () => {
    const { writer, reader } = sharedRing(ringBytes);
    const prng = new Prng(7);
    const written: { offset: number; id: number; payload: Uint8Array }[] = [];
    let recalled = 0;
    for (let id = 1; id <= 500; id++) {
      const payload = Uint8Array.from({ length: prng.below(payloadBytesMax) }, () => prng.below(256));
      const offset = writer.reserve(payload.length);
      writer.bytes.set(payload, offset);
      writer.commit(3, 0, id, payload.length);
      writer.publish();
      collect(reader);
      written.push({ offset, id, payload });
      for (const old of written) {
        const length = writer.recall(old.offset, 3, old.id);
        equal(writer.recall(old.offset, 4, old.id), -1);
        if (length < 0) continue;
        recalled++;
        equal(Buffer.compare(writer.bytes.subarray(old.offset, old.offset + length), old.payload), 0);
      }
      equal(writer.recall(offset, 3, id), payload.length, "the newest one is there");
    }
    ok(recalled > found, `${recalled} found`);
  });

for (const [name, make] of [
  ["shared", sharedRing],
  ["memory", memoryRing],
] as const) {
  describe(`${name} ring`, () => {
    test("hands over records in order, with type, flags and a 48-bit request id", () => {
      const { writer, reader } = make(4096);
      ok(writer.write(1, 2, 0xffff_ffff_ffff, text("hello"), 0, 5));
      ok(writer.write(2, 0, 7, text(""), 0, 0));
      writer.publish();
      deepEqual(collect(reader), [
        [1, 2, 0xffff_ffff_ffff, "hello"],
        [2, 0, 7, ""],
      ]);
      ok(reader.isEmpty());
    });

    test("shows nothing before publish", () => {
      const { writer, reader } = make(4096);
      writer.write(1, 0, 1, text("x"), 0, 1);
      ok(reader.isEmpty());
      deepEqual(collect(reader), []);
      writer.publish();
      equal(collect(reader).length, 1);
    });

    test("refuses a record when full and takes it once the consumer has drained", () => {
      const { writer, reader } = make(1024);
      const payload = new Uint8Array(200);
      let written = 0;
      while (writer.write(1, 0, written, payload, 0, 200)) written++;
      ok(written >= 3, String(written));
      writer.publish();
      equal(collect(reader).length, written);
      ok(writer.write(1, 0, written, payload, 0, 200));
    });

    test("carries a payload of half the ring", () => {
      const { writer, reader } = make(8192);
      const payload = new Uint8Array(writer.payloadBytesMax).map((_, i) => i);
      for (let round = 0; round < 7; round++) {
        ok(writer.write(9, 2, round, payload, 0, payload.length));
        writer.publish();
        const [record] = collect(reader);
        deepEqual(record?.slice(0, 3), [9, 2, round]);
        equal(record?.[3], Buffer.from(payload).toString("latin1"));
        writer.write(1, 0, 0, payload, 0, round * 24 + 1);
        writer.publish();
        collect(reader);
      }
    });

    test("carries a payload longer than itself, piece by piece", () => {
      const { writer, reader } = make(4096);
      for (let round = 0; round < 5; round++) {
        const payload = new Uint8Array(5 * 4096 + round * 1000).map((_, i) => i * 7);
        ok(payload.length > writer.payloadBytesMax);
        ok(writer.write(1, 0, 100 + round, payload, 0, 9 + round * 50));
        const found: ReturnType<typeof collect> = [];
        const end = payload.length - 1;
        for (let at = 1, waits = 0; at < end; waits++) {
          ok(waits < 100);
          at = writer.writeOn(9, 2, round, payload, 1, end, at);
          writer.publish();
          found.push(...collect(reader));
        }
        ok(writer.write(1, 0, 200 + round, payload, 0, 3));
        writer.publish();
        found.push(...collect(reader));
        deepEqual(
          found.map(([, , id]) => id),
          [100 + round, round, 200 + round],
        );
        deepEqual(found[1].slice(0, 2), [9, 2]);
        equal(found[1][3], Buffer.from(payload.subarray(1, end)).toString("latin1"));
      }
    });

    test("drain stops at its limit and resumes where it stopped", () => {
      const { writer, reader } = make(4096);
      for (let i = 0; i < 5; i++) writer.write(1, 0, i, text("x"), 0, 1);
      writer.publish();
      deepEqual(
        collect(reader, 2).map((r) => r[2]),
        [0, 1],
      );
      deepEqual(
        collect(reader).map((r) => r[2]),
        [2, 3, 4],
      );
    });

    test("a drain ends behind the record whose handler says so", () => {
      const { writer, reader } = make(4096);
      for (let i = 0; i < 5; i++) writer.write(1, 0, i, text("x"), 0, 1);
      writer.publish();
      const taken: number[] = [];
      const handler = (_type: number, _flags: number, id: number): void => {
        taken.push(id);
        if (id === 1) reader.endDrain();
      };
      equal(reader.drain(handler, 10), 2);
      deepEqual(taken, [0, 1]);
      equal(reader.drain(handler, 10), 3);
      ok(reader.isEmpty());
    });

    test("a throwing handler loses only the record it threw on", () => {
      const { writer, reader } = make(4096);
      for (let i = 0; i < 3; i++) writer.write(1, 0, i, text("x"), 0, 1);
      writer.publish();
      throws(() =>
        reader.drain((_type, _flags, id) => {
          if (id === 1) throw new Error("handler");
        }, 10),
      );
      deepEqual(
        collect(reader).map((r) => r[2]),
        [2],
      );
    });

    test("roomAvailable resolves after a drain", async () => {
      const { writer, reader } = make(1024);
      const payload = new Uint8Array(200);
      while (writer.write(1, 0, 0, payload, 0, 200)) continue;
      const room = writer.roomAvailable(200);
      collect(reader);
      await room;
      ok(writer.write(1, 0, 0, payload, 0, 200));
    });

    // The larger one has room to begin anew when it is empty.
    for (const ringBytes of [2048, 256 * 1024])
      test(`random records of all sizes come out of ${ringBytes} bytes as they went in`, () => {
        const seed = Date.now() >>> 0;
        const prng = new Prng(seed);
        const { writer, reader } = make(ringBytes);
        const sent: string[] = [];
        const got: string[] = [];
        for (let step = 0; step < 20_000; step++) {
          const length = prng.chance(0.05) ? prng.below(writer.payloadBytesMax) : prng.below(60);
          const payload = new Uint8Array(length).fill(step & 0xff);
          if (writer.write(step & 0x7f, 0, step, payload, 0, length))
            sent.push(`${step & 0x7f} ${step} ${length} ${step & 0xff}`);
          if (prng.chance(0.3)) writer.publish();
          if (prng.chance(0.3)) {
            reader.drain(
              (type, _flags, id, bytes, start, end) => {
                const fill = end > start ? bytes[end - 1] : id & 0xff;
                got.push(`${type} ${id} ${end - start} ${fill}`);
              },
              1 + prng.below(20),
            );
          }
        }
        writer.publish();
        while (!reader.isEmpty()) {
          reader.drain((type, _flags, id, bytes, start, end) => {
            got.push(`${type} ${id} ${end - start} ${end > start ? bytes[end - 1] : id & 0xff}`);
          }, 100);
        }
        deepEqual(got, sent, `seed ${seed}`);
      });
  });
}

test("a ring that is emptied again and again takes little of its memory, and still all of it when needed", () => {
  const { writer, reader, memory } = sharedRing(1 << 20);
  const payload = new Uint8Array(1000).fill(0xee);
  for (let i = 0; i < 5000; i++) {
    ok(writer.write(1, 0, i, payload, 0, payload.length));
    writer.publish();
    if (i % 3 === 0) deepEqual(collect(reader).at(-1)?.slice(0, 3), [1, 0, i]);
  }
  const touched = new Uint8Array(memory).lastIndexOf(0xee);
  ok(touched > 130_000 && touched < 140_000, `${touched} bytes of a megabyte were written`);
  collect(reader);
  let written = 0;
  while (writer.write(1, 0, written, payload, 0, payload.length)) written++;
  writer.publish();
  ok(written >= Math.floor((1 << 20) / 1016) - 1, `${written} records fill a megabyte`);
  equal(collect(reader).length, written);
});

test("what a consumer has taken does not count as waiting", () => {
  const payload = new Uint8Array(16); // with their headers 32 of them fill the ring
  const { memory, writer, reader } = sharedRing(1024);
  const put = (count: number): void => {
    for (let i = 0; i < count; i++) equal(writer.write(1, 0, 1, payload, 0, 16), true);
    writer.publish();
  };
  for (let i = 0; i < 100; i++) {
    put(1);
    collect(reader);
  }
  equal(readRingStats(memory).depthBytesMax, 32);
  put(3);
  equal(readRingStats(memory).depthBytesMax, 96);
});

test("reserve and commit write in place", () => {
  const { writer, reader, memory } = sharedRing(1024);
  const offset = writer.reserve(16);
  writer.bytes[offset] = 65;
  writer.bytes[offset + 1] = 66;
  writer.commit(3, 0, 5, 2);
  writer.publish();
  deepEqual(collect(reader), [[3, 0, 5, "AB"]]);
  equal(readRingStats(memory).records, 1);
});

test("a wait that was given up takes no notification away from the next one", async () => {
  const bell = new Doorbell(createDoorbellMemory());
  const givenUp = bell.sleepAsync(bell.prepareSleep());
  bell.awake();
  const sleep = bell.sleepAsync(bell.prepareSleep());
  const inTime = Promise.race([sleep?.then(() => true), delay(1000, false, { ref: false })]);
  equal(bell.ring(), true);
  equal(await inTime, true);
  await givenUp;
  bell.awake();
  // And it is a new one that is waited for next.
  const next = bell.sleepAsync(bell.prepareSleep());
  notEqual(next, sleep);
  equal(bell.ring(), true);
  await next;
});

test("a nap is ended by who rings urgently, by a control request, and by nobody else", () => {
  const bell = new Doorbell(createDoorbellMemory());
  equal(bell.ringUrgently(), false);
  let sequence = bell.prepareNap();
  equal(bell.ring(), false);
  equal(bell.ringUrgently(), true);
  equal(bell.ringUrgently(), false);
  bell.sleep(sequence, 60_000);
  sequence = bell.prepareNap();
  bell.requestControl();
  bell.sleep(sequence, 60_000);
  equal(bell.takeControlRequest(), true);
  bell.prepareSleep();
  equal(bell.ringUrgently(), true);
});

test("what is published leaves a napping consumer alone, unless it is urgent or an eighth of the ring waits", () => {
  const memory = createRingMemory(64 * 1024);
  const bell = new Doorbell(createDoorbellMemory());
  const writer = new SharedRingWriter(memory, bell);
  const reader = new SharedRingReader(memory);
  const wakeUps = (): number => readRingStats(memory).wakeUps;
  const kilobyte = new Uint8Array(1024);
  bell.prepareNap();
  for (let i = 0; i < 7; i++) {
    writer.write(1, 0, i, kilobyte, 0, 1024);
    writer.publish();
  }
  equal(wakeUps(), 0);
  writer.write(1, 0, 7, kilobyte, 0, 1024);
  writer.publish();
  equal(wakeUps(), 1);
  // What the consumer took meanwhile does not count.
  equal(collect(reader).length, 8);
  bell.prepareNap();
  writer.write(1, 0, 8, kilobyte, 0, 1024);
  writer.publish();
  equal(wakeUps(), 1);
  writer.publishUrgently();
  equal(wakeUps(), 2, "it may have been published already");
});

test("a doorbell wakes only a sleeper, and only once", () => {
  const bell = new Doorbell(createDoorbellMemory());
  equal(bell.ring(), false);
  const sequence = bell.prepareSleep();
  equal(bell.ring(), true);
  equal(bell.ring(), false);
  bell.sleep(sequence, 60_000);
  equal(bell.takeControlRequest(), false);
  bell.requestControl();
  bell.sleep(bell.prepareSleep(), 60_000);
  equal(bell.takeControlRequest(), true);
});

for (const [name, ring] of [
  ["shared", sharedRing(1024)],
  ["memory", memoryRing(1024)],
] as const) {
  test(`${name} ring: a handler cannot drain the ring that its record is of`, () => {
    for (const id of [1, 2]) ok(ring.writer.write(7, 0, id, text("x"), 0, 1));
    ring.writer.publish();
    throws(() => ring.reader.drain(() => void collect(ring.reader), 10), /drained/);
    deepEqual(collect(ring.reader), [[7, 0, 2, "x"]]);
  });
}
