// Two real threads, a small ring, records of all sizes: nothing lost, nothing reordered, nobody left asleep.
import { test } from "node:test";
import { equal } from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { Prng } from "../../src/base/prng.ts";
import { Doorbell, createDoorbellMemory } from "../../src/ring/doorbell.ts";
import {
  SharedRingReader,
  SharedRingWriter,
  createRingMemory,
  readRingStats,
} from "../../src/ring/shared-ring.ts";

const RECORDS = 200_000;
const SMALL_BYTES = 4096;
// Long enough to begin anew when it is empty, short enough to be full now and then.
const REWINDING_BYTES = 128 * 1024;

for (const [mode, ringBytes] of [
  ["blocking", SMALL_BYTES],
  ["async", SMALL_BYTES],
  ["blocking", REWINDING_BYTES],
] as const) {
  test(`a ${mode} consumer on its own thread gets ${RECORDS} records through ${ringBytes} bytes in order`, async () => {
    const seed = Date.now() >>> 0;
    const forth = createRingMemory(ringBytes);
    const back = createRingMemory(1024);
    const consumerBell = createDoorbellMemory();
    const producerBell = createDoorbellMemory();
    const worker = new Worker(new URL("../support/ring-consumer.ts", import.meta.url), {
      workerData: { forth, back, consumerBell, producerBell, mode, records: RECORDS },
    });
    const exited = once(worker, "exit");
    const writer = new SharedRingWriter(forth, new Doorbell(consumerBell));
    const reader = new SharedRingReader(back);
    const bell = new Doorbell(producerBell);
    const prng = new Prng(seed);
    const payload = new Uint8Array(writer.payloadBytesMax);
    for (let i = 0; i < RECORDS; i++) {
      const length = prng.chance(0.01) ? prng.below(Math.min(writer.payloadBytesMax, 8192)) : prng.below(80);
      payload[0] = i & 0xff;
      while (!writer.write(1, 0, i, payload, 0, length)) await writer.roomAvailable(length);
      if (prng.chance(0.1)) writer.publish();
      // Now and then the consumer runs dry and sleeps.
      if (prng.chance(ringBytes === SMALL_BYTES ? 0.0005 : 0.005)) {
        writer.publish();
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    writer.publish();
    const state = { verdict: "" };
    while (state.verdict === "") {
      const sequence = bell.prepareSleep();
      reader.drain((_type, _flags, _id, bytes, start, end) => {
        state.verdict = Buffer.from(bytes.subarray(start, end)).toString();
      }, 1);
      if (state.verdict === "") await bell.sleepAsync(sequence);
    }
    equal(state.verdict, "ok", `seed ${seed}, ${JSON.stringify(readRingStats(forth))}`);
    await exited;
  });
}
