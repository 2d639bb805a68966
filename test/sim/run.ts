/**
 * `npm run sim -- --seed=N --minutes=M [--members=1|3|5] [--runs=K] [--canary=NAME]`: runs the simulation for M virtual minutes from
 * each of K seeds, N and following, and prints what was done. Ends with 1 at the first failure, whose seed and last events it prints;
 * with a canary, ends with 1 if no run found it. The sums come at the end, on SIGINT and SIGTERM, which end it without the seed under way, and
 * on SIGUSR2, with which it goes on.
 */

import { parseArgs } from "node:util";
import { CANARIES, type Canary } from "./canaries.ts";
import { type SimulationOptions, type SimulationResult, simulate } from "./simulation.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "10" },
    members: { type: "string", default: "3" },
    runs: { type: "string", default: "1" },
    canary: { type: "string" },
  },
});

const canary = (values.canary ?? null) as Canary | null;
if (canary !== null && !CANARIES.includes(canary)) {
  console.error(`--canary is one of ${CANARIES.join(", ")}`);
  process.exit(2);
}

let hours = 0;
let cpuTotal = 0;
/** Sums of what each run counts. */
const totals = {
  events: 0,
  elections: 0,
  operations: 0,
  answered: 0,
  undecidedKeys: 0,
  snapshots: 0,
  watchers: 0,
  watchersResumed: 0,
  watchEvents: 0,
  fragments: 0,
  notifications: 0,
  compacted: 0,
  rests: 0,
  leasesGranted: 0,
  leasesRenewed: 0,
  leasesExpired: 0,
};
const faults: Record<string, number> = {};
let found = false;

process.on("SIGUSR2", printTotals);
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)
  process.once(signal, () => {
    printTotals();
    process.exit(code);
  });

for (let run = 0; run < Number(values.runs) && !found; run++) {
  const options: SimulationOptions = {
    seed: Number(values.seed) + run,
    minutes: Number(values.minutes),
    members: Number(values.members),
    canary,
  };
  const startedAt = process.cpuUsage();
  const result = await simulate(options);
  const { user, system } = process.cpuUsage(startedAt);
  addUp(result, (user + system) / 1e6);
  console.log(describe(options, result, (user + system) / 1e6));
  found = result.failure !== null;
}
printTotals();
process.exitCode = found === (canary !== null) ? 0 : 1;

function printTotals(): void {
  console.log(
    `total: ${hours.toFixed(2)} simulated hours in ${cpuTotal.toFixed(1)} s of CPU, ${totals.events} events, ` +
      `${totals.elections} elections, ${totals.operations} operations (${totals.answered} answered) checked, ` +
      `${totals.undecidedKeys} keys undecided, ${totals.snapshots} snapshots sent`,
  );
  console.log(
    `${totals.watchers} watchers, resumed ${totals.watchersResumed} times, were sent ${totals.watchEvents} events, ${totals.fragments} fragments, ` +
      `${totals.notifications} notifications of progress, ${totals.compacted} ends by compaction, and rested ${totals.rests} times; ` +
      `${totals.leasesGranted} leases, renewed ${totals.leasesRenewed} times, ${totals.leasesExpired} expired`,
  );
  console.log(
    `faults: ${Object.entries(faults)
      .map(([name, count]) => `${count} ${name}`)
      .join(", ")}`,
  );
}

function addUp(result: SimulationResult, cpuSeconds: number): void {
  hours += result.virtualMs / 3_600_000;
  cpuTotal += cpuSeconds;
  for (const key of Object.keys(totals) as Array<keyof typeof totals>) totals[key] += result[key];
  for (const [name, count] of Object.entries(result.faults)) faults[name] = (faults[name] ?? 0) + count;
}

function describe(options: SimulationOptions, result: SimulationResult, cpuSeconds: number): string {
  const { failure, virtualMs, events, operations, elections, entries, traceHash } = result;
  const line =
    `seed ${options.seed}: ${(virtualMs / 60_000).toFixed(1)} min in ${cpuSeconds.toFixed(1)} s, ${events} events, ` +
    `${entries} entries, ${elections} elections, ${operations} operations, trace ${traceHash}`;
  if (failure === null) return line;
  const command = `npm run sim -- --seed=${options.seed} --minutes=${options.minutes} --members=${options.members}`;
  return [
    line,
    ...result.lastEvents,
    `FAILED at ${(virtualMs / 1000).toFixed(3)} s: ${failure.stack ?? failure.message}`,
    `again: ${command}${options.canary === null ? "" : ` --canary=${options.canary}`}`,
  ].join("\n");
}
