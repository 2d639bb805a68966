/** Figures of watches: fan-out, watchers that only wait, watchers that catch up, and watches that come and go. */
import { setTimeout as delay } from "node:timers/promises";
import { bytesPer, megabytes, micros, milliseconds, perSecond, type Figure } from "./figure.ts";
import type { Extent, FigureLoad } from "./figures.ts";
import { writeRevisions } from "./data-sets.ts";
import { StampingWriter } from "./paced-puts.ts";
import { keyName, prefixRange } from "./requests.ts";
import type { Side } from "./side.ts";
import { Counter, Watchers } from "./watchers.ts";

const CONNECTIONS = 10;
const NO_BYTES = new Uint8Array();

const FANOUT_WATCHERS = 1000;
// Revisions that the writer may be ahead of the slowest watcher: enough that nobody waits for the writer.
const FANOUT_AHEAD = 16;
const FANOUT_WARM_UP_SECONDS = 1;
// A rate that an etcd delivers with less than half a core, so that latencies and not queues are measured.
const FANOUT_PACED_PUTS = 50;

const IDLE_WATCHERS = 10_000;
// Buffers and compiled code that the first watchers bring are not the memory of a watcher. They stay while the others come.
const IDLE_WARM_UP_WATCHERS = 1000;
const IDLE_SETTLE_MS = 5000;

const CATCH_UP_WATCHERS = 100;
const CATCH_UP_EVENTS = 200_000;
const CATCH_UP_KEYS = 10_000;
const CATCH_UP_PACED_PUTS = 200;
const CATCH_UP_ALONE_SECONDS = 3;
// The first write of a fresh member has revision 2.
const FIRST_REVISION = 2;

const CHURN_WATCHERS = 1000;
const CHURN_SECONDS = 60;

export const WATCH_FIGURES: readonly FigureLoad[] = [
  { name: "watch-fanout", measure: (side, extent) => measureFanout(side, extent, "one key") },
  { name: "watch-fanout-prefix", measure: (side, extent) => measureFanout(side, extent, "one prefix") },
  { name: "watch-idle", measure: measureIdle },
  { name: "watch-catchup", measure: measureCatchUp },
  { name: "watch-churn", measure: measureChurn },
];

async function measureFanout(side: Side, extent: Extent, of: "one key" | "one prefix"): Promise<Figure[]> {
  const count = extent.scaled(FANOUT_WATCHERS);
  const key = "fanout/";
  await side.start();
  const watchers = await Watchers.connect({
    address: side.address,
    connections: CONNECTIONS,
    watchers: count,
    key,
    rangeEnd: of === "one key" ? NO_BYTES : prefixRange(key).rangeEnd,
    timed: true,
  });
  const writer = await StampingWriter.connect(side.address);
  try {
    watchers.tell("create");
    await watchers.reached(Counter.created, count);
    const keyOf = (index: number): Buffer =>
      of === "one key" ? Buffer.from(key) : keyName(key, index % 100);
    const fanout = { side, watchers, count, writer, keyOf };
    await deliverFor(fanout, FANOUT_WARM_UP_SECONDS);
    const full = await deliverFor(fanout, extent.seconds);
    await watchers.latencies();
    const cpuBefore = side.cpuSeconds();
    await writer.pace({ perSecond: FANOUT_PACED_PUTS, seconds: extent.seconds, key: keyOf });
    await watchers.reached(Counter.events, writer.puts * count);
    const cpu = side.cpuSeconds() - cpuBefore;
    const paced = await watchers.latencies();
    const pacedEvents = FANOUT_PACED_PUTS * extent.seconds * count;
    const title = `fan-out to ${count} watchers of ${of}`;
    const rate = `${FANOUT_PACED_PUTS * count} events/s`;
    return [
      perSecond(`${title}: events delivered`, full.events / full.seconds),
      micros(`${title}: CPU an event`, (full.cpuSeconds / full.events) * 1e6),
      micros(`${title} at ${rate}: CPU an event`, (cpu / pacedEvents) * 1e6),
      milliseconds(`${title} at ${rate}: write to delivery 50 %`, paced.p50),
      milliseconds(`${title} at ${rate}: write to delivery 99 %`, paced.p99),
    ];
  } finally {
    writer.close();
    await watchers.end();
  }
}

interface Fanout {
  readonly side: Side;
  readonly watchers: Watchers;
  readonly count: number;
  readonly writer: StampingWriter;
  readonly keyOf: (index: number) => Buffer;
}

/** One writer that stays a few revisions ahead of the slowest watcher: deliveries are the limit, and not the disk. */
async function deliverFor({ side, watchers, count, writer, keyOf }: Fanout, seconds: number) {
  const before = { puts: writer.puts, cpu: side.cpuSeconds(), now: performance.now() };
  const answers: Promise<void>[] = [];
  while (performance.now() - before.now < seconds * 1000) {
    answers.push(writer.put(keyOf(answers.length)));
    const due = before.puts + answers.length - FANOUT_AHEAD;
    await Promise.race([watchers.reached(Counter.events, due * count), writer.failed]);
  }
  await Promise.all(answers);
  await watchers.reached(Counter.events, writer.puts * count);
  if (watchers.count(Counter.events) !== writer.puts * count)
    throw new Error("more events than writes were delivered");
  return {
    events: (writer.puts - before.puts) * count,
    seconds: (performance.now() - before.now) / 1000,
    cpuSeconds: side.cpuSeconds() - before.cpu,
  };
}

async function measureIdle(side: Side, extent: Extent): Promise<Figure[]> {
  const count = extent.scaled(IDLE_WATCHERS);
  await side.start();
  const connect = (watchers: number): Promise<Watchers> =>
    Watchers.connect({
      address: side.address,
      connections: CONNECTIONS,
      watchers,
      key: "idle/",
      distinctKeys: true,
    });
  const first = await connect(extent.scaled(IDLE_WARM_UP_WATCHERS));
  first.tell("create");
  await first.reached(Counter.created, extent.scaled(IDLE_WARM_UP_WATCHERS));
  const watchers = await connect(count);
  try {
    await delay(IDLE_SETTLE_MS);
    const before = side.rssBytes();
    const startedAt = performance.now();
    watchers.tell("create");
    await watchers.reached(Counter.created, count);
    const seconds = (performance.now() - startedAt) / 1000;
    await delay(IDLE_SETTLE_MS);
    return [
      perSecond(`${count} idle watchers, ${CONNECTIONS} connections: created`, count / seconds),
      bytesPer("idle watcher: RSS", (side.rssBytes() - before) / count),
      megabytes(`RSS with ${count} idle watchers`, side.rssBytes()),
    ];
  } finally {
    await first.end();
    await watchers.end();
  }
}

async function measureCatchUp(side: Side, extent: Extent): Promise<Figure[]> {
  const [count, events] = [extent.scaled(CATCH_UP_WATCHERS), extent.scaled(CATCH_UP_EVENTS)];
  const key = "history/";
  await side.start();
  await writeRevisions(side, { prefix: key, keys: CATCH_UP_KEYS, revisions: events });
  const writer = await StampingWriter.connect(side.address);
  const watchers = await Watchers.connect({
    address: side.address,
    connections: CONNECTIONS,
    watchers: count,
    key,
    rangeEnd: prefixRange(key).rangeEnd,
    startRevision: FIRST_REVISION,
    goal: events,
  });
  const stop = new AbortController();
  // Into the history's own keys: who has caught up goes on with what is new, and nothing may be lost in between.
  const pace = {
    perSecond: CATCH_UP_PACED_PUTS,
    key: (index: number) => keyName(key, index % CATCH_UP_KEYS),
  };
  try {
    const alone = await writer.pace({ ...pace, seconds: CATCH_UP_ALONE_SECONDS });
    const meanwhile = writer.pace({ ...pace, seconds: Infinity, signal: stop.signal });
    const before = { now: performance.now(), cpu: side.cpuSeconds() };
    watchers.tell("create");
    await watchers.reached(Counter.reached, count);
    const seconds = (performance.now() - before.now) / 1000;
    stop.abort();
    const puts = await meanwhile;
    await watchers.reached(Counter.events, count * (events + writer.puts));
    const cpuSeconds = side.cpuSeconds() - before.cpu;
    const delivered = watchers.count(Counter.events);
    if (delivered !== count * (events + writer.puts))
      throw new Error("more events than writes were delivered");
    const title = `${count} watchers catch up on ${events} events`;
    return [
      milliseconds(`${title}: time`, seconds * 1000),
      perSecond(`${title}: events delivered`, (count * events) / seconds),
      micros(`${title}: CPU an event`, (cpuSeconds / delivered) * 1e6),
      milliseconds(`Put 99 % alone, ${CATCH_UP_PACED_PUTS}/s`, alone.p99),
      milliseconds("Put 99 % during the catch-up", puts.p99),
      megabytes("RSS after the catch-up", side.rssBytes()),
    ];
  } finally {
    stop.abort();
    writer.close();
    await watchers.end();
  }
}

/** Watches are created and cancelled all the time; afterwards memory must be where it was. */
async function measureChurn(side: Side, extent: Extent): Promise<Figure[]> {
  const count = extent.scaled(CHURN_WATCHERS);
  const churnMs = extent.scaled(CHURN_SECONDS) * 1000;
  await side.start();
  const watchers = await Watchers.connect({
    address: side.address,
    connections: CONNECTIONS,
    watchers: count,
    key: "churn/",
    distinctKeys: true,
  });
  const rows: number[][] = [];
  try {
    const startedAt = performance.now();
    let rounds = 0;
    const churnUntil = async (elapsedMs: number): Promise<void> => {
      while (performance.now() - startedAt < elapsedMs) {
        rounds++;
        watchers.tell("create");
        await watchers.reached(Counter.created, rounds * count);
        watchers.tell("cancel");
        await watchers.reached(Counter.canceled, rounds * count);
      }
      rows.push([(performance.now() - startedAt) / 1000, rounds * count, side.rssBytes() / 1e6]);
    };
    for (let tenth = 1; tenth <= 10; tenth++) await churnUntil((churnMs * tenth) / 10);
    const seconds = (performance.now() - startedAt) / 1000;
    extent.addSeries({
      title: `watches created and cancelled, ${side.name}`,
      header: ["s", "watches so far", "RSS MB"],
      rows,
    });
    // The first third fills caches and grows heaps to the size at which they are collected.
    const [settled, last] = [rows[3][2], rows[rows.length - 1][2]];
    return [
      perSecond("watches created and cancelled", (rounds * count) / seconds),
      megabytes(`RSS after ${extent.scaled(CHURN_SECONDS)} s of it`, last * 1e6),
      megabytes("rise of RSS since 40 % of that time", Math.max(0, last - settled) * 1e6),
    ];
  } finally {
    await watchers.end();
  }
}
