// The consumer thread of the ring stress test: checks the order, then says "ok" or what was wrong.
import { workerData } from "node:worker_threads";
import { Doorbell } from "../../src/ring/doorbell.ts";
import { SharedRingReader, SharedRingWriter } from "../../src/ring/shared-ring.ts";

const { forth, back, consumerBell, producerBell, mode, records } = workerData as {
  forth: SharedArrayBuffer;
  back: SharedArrayBuffer;
  consumerBell: SharedArrayBuffer;
  producerBell: SharedArrayBuffer;
  mode: "blocking" | "async";
  records: number;
};
const reader = new SharedRingReader(forth);
const bell = new Doorbell(consumerBell);
// Atomics.waitAsync alone does not keep a thread alive.
const keepAlive = setInterval(() => {}, 60_000);
const state = { expected: 0, problem: "" };

function take(
  _type: number,
  _flags: number,
  id: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  if (id !== state.expected) state.problem ||= `expected ${state.expected}, got ${id}`;
  if (end > start && bytes[start] !== (id & 0xff)) state.problem ||= `payload of ${id}`;
  state.expected++;
}

while (state.expected < records && state.problem === "") {
  if (reader.drain(take, 64) > 0) continue;
  const sequence = bell.prepareSleep();
  if (!reader.isEmpty()) bell.awake();
  else if (mode === "blocking") bell.sleep(sequence, Infinity);
  else await bell.sleepAsync(sequence);
}
const writer = new SharedRingWriter(back, new Doorbell(producerBell));
const text = Buffer.from(state.problem || "ok");
writer.write(1, 0, 0, text, 0, text.length);
writer.publish();
clearInterval(keepAlive);
