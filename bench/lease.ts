/**
 * The lessor alone, with many leases: `node bench/lease.ts [leases]`. Nanoseconds of CPU an operation, and bytes of memory a lease.
 */
import { Lessor } from "../src/lease/lessor.ts";
import { encodeId, LeaseView } from "../src/lease/lease-codec.ts";
import { CHECKPOINT_INTERVAL_MS } from "../src/lease/lease-limits.ts";
import { measure, once } from "./cpu-time.ts";

const LEASES = Number(process.argv[2] ?? 1_000_000);

const scatter = (index: number): number => 1 + ((index * 7919) % LEASES);

const HIGH = 0x694d_7de3;
const before = process.memoryUsage();
const lessor = new Lessor({
  minTtlSeconds: 2,
  retryMs: 7000,
  checkpointIntervalMs: CHECKPOINT_INTERVAL_MS,
  hashSeed: 0x1234_5678,
});
lessor.promote(0, 1000);

console.log(`${LEASES} leases`);
measure("grant", LEASES, (index) => lessor.grant(index + 1, HIGH, 60, index / 10));
const after = process.memoryUsage();
const bytes = (after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed) / LEASES;
console.log(`${"memory a lease, without keys".padEnd(44)} ${bytes.toFixed(0).padStart(8)} B`);
measure("find", LEASES, (index) => lessor.find(scatter(index), HIGH));
let nowMs = 30_000;
measure("renew", LEASES, (index) => lessor.renew(scatter(index), HIGH, (nowMs += 0.01)));
const view = new LeaseView();
const request = encodeId(12_345, HIGH);
measure("decode a keep-alive", LEASES, () => view.decodeId(request, 0, request.length));
measure("attach a key", LEASES, (index) => lessor.attach(scatter(index), HIGH, index + 1));
measure("move a key to another lease", LEASES, (index) => lessor.attach(scatter(index * 3), HIGH, index + 1));
measure("detach a key", LEASES, (index) => lessor.detach(index + 1));
measure("take expired, in rounds of 500", LEASES / 500, () => lessor.takeExpired(1e9, 500, () => {}));
lessor.demote();
once("promote (with spreading)", () => lessor.promote(0, 1000));
once("list", () => lessor.ids());
measure("remove", LEASES, (index) => lessor.remove(lessor.find(scatter(index), HIGH)));
