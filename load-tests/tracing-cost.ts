/**
 * What tracing costs requests that are not traced: CPU time of a member a Put, with tracing off and on, in turns. Nobody listens where
 * the spans go.
 *
 *     node load-tests/tracing-cost.ts [rounds]
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memberUnderTest } from "../test/support/binaries.ts";
import { generate } from "./generator.ts";
import { keyName, putRequest } from "./requests.ts";
import { Side } from "./side.ts";

const PUTS_A_TURN = 10_000;
const CONNECTIONS = 10;
const STREAMS = 50;
const KEYS = 1000;

const TRACING = ["--enable-distributed-tracing", "--distributed-tracing-address=127.0.0.1:9"];
/** The first is what the others are compared with; the second is the same again, and shows the noise. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  off: [],
  "off again": [],
  "on, rate 0": TRACING,
  "on, 100 of a million": [...TRACING, "--distributed-tracing-sampling-rate=100"],
  "on, slow ones after the fact": [...TRACING, "--trace-slow-requests-ms=10000"],
};

const rounds = Number(process.argv[2] ?? 40);
const folder = mkdtempSync(join(tmpdir(), "concord-tracing-cost-"));
const cleanups: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
try {
  await measure();
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}

async function measure(): Promise<void> {
  const sides: Side[] = [];
  for (const [name, flags] of Object.entries(VARIANTS)) {
    const cleanup = { after: (end: () => unknown) => void cleanups.push(end) };
    const side = new Side({ name, program: memberUnderTest(), folder, cleanup });
    await side.start(flags);
    sides.push(side);
  }
  const micros = new Map(sides.map(({ name }) => [name, [] as number[]]));
  const onMain = new Map(sides.map(({ name }) => [name, [] as number[]]));
  // The first two rounds warm up.
  for (let round = -2; round < rounds; round++) {
    const shift = (round + 2) % sides.length;
    for (const side of [...sides.slice(shift), ...sides.slice(0, shift)]) {
      const before = cpuOf(side.pid);
      await puts(side.address);
      const after = cpuOf(side.pid);
      if (round < 0) continue;
      micros.get(side.name)?.push((after.all - before.all) / 1000 / PUTS_A_TURN);
      onMain.get(side.name)?.push((after.main - before.main) / 1000 / PUTS_A_TURN);
    }
  }
  report("all threads", micros);
  report("main, which decides", onMain);
}

/** Each variant beside the first, turn by turn. */
function report(what: string, micros: ReadonlyMap<string, readonly number[]>): void {
  console.log(what);
  const base = micros.get("off") ?? [];
  for (const [name, values] of micros) {
    const ratios = values.map((value, i) => (value / base[i] - 1) * 100);
    const [low, middle, high] = quartiles(ratios).map((ratio) => ratio.toFixed(2));
    console.log(
      `${name.padEnd(30)} ${quartiles(values)[1].toFixed(3)} us a put, ${middle} % (quartiles ${low}, ${high})`,
    );
  }
}

async function puts(address: string): Promise<void> {
  let left = PUTS_A_TURN;
  await generate({
    address,
    connections: CONNECTIONS,
    streams: STREAMS,
    seconds: Infinity,
    script: () => ({ next: () => (left-- > 0 ? putRequest(keyName("cost", left % KEYS)) : undefined) }),
  });
}

/** CPU time in nanoseconds, of all threads and of main. */
function cpuOf(pid: number): { readonly all: number; readonly main: number } {
  const of = (task: string): number =>
    Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
  const all = readdirSync(`/proc/${pid}/task`).reduce((sum, task) => sum + of(task), 0);
  return { all, main: of(String(pid)) };
}

function quartiles(values: readonly number[]): [number, number, number] {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return [at(0.25), at(0.5), at(0.75)];
}
