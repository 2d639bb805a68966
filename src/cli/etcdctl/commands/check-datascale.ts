/** `etcdctl check datascale` */
import type { Client } from "../../../client/client.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { flush, printLine } from "../../common/terminal.ts";
import { ProgressBar } from "../../common/progress-bar.ts";
import {
  compactTo,
  defragmentAll,
  deletePrefix,
  loadCheckFlags,
  measuredPut,
  printErrors,
  randomKey,
  selectLoad,
  withLoadClients,
} from "../load-check.ts";
import { LoadReport } from "../load-report.ts";
import { readResidentMemory } from "../member-memory.ts";
import { withInterrupt } from "../signals.ts";

/** How much is written, by how many clients. */
interface Workload {
  readonly keys: number;
  readonly clients: number;
}

const WORKLOADS: Readonly<Record<"s" | "m" | "l" | "xl", Workload>> = {
  s: { keys: 10_000, clients: 50 },
  m: { keys: 100_000, clients: 200 },
  l: { keys: 1_000_000, clients: 500 },
  xl: { keys: 3_000_000, clients: 1000 },
};
const KEY_BYTES = 512;
const VALUE_BYTES = 512;
const MEBIBYTE = 1024 * 1024;

export const command: Command = {
  usage: "datascale [options]",
  description: `
Writes 10,000 (s), 100,000 (m), 1,000,000 (l) or 3,000,000 (xl) keys of ${KEY_BYTES + VALUE_BYTES} bytes, and says how much more memory
the first member of --endpoints takes then. The keys are deleted afterwards.
`,
  flags: loadCheckFlags("/etcdctl-check-datascale/"),
  async run(context) {
    const { flags } = context;
    const workload = selectLoad(flags.string("load"), WORKLOADS);
    const deletion = (prefix: string): string => `etcdctl del --prefix ${prefix}`;
    await withLoadClients(
      context,
      { count: workload.clients, deletion },
      async ({ clients, prefix, options }) => {
        const memory = (when: string): Promise<number> =>
          readMemory(options.endpoints[0], options.tls, `${when} the put operations`);
        const before = await memory("before");
        const errors = await withInterrupt((signal) => fill(clients, workload, prefix, signal));
        const after = await memory("after");
        const revision = await deletePrefix(clients[0], prefix, Infinity);
        if (flags.bool("auto-compact")) await compactTo(clients[0], revision);
        if (flags.bool("auto-defrag")) await defragmentAll(clients[0], options.endpoints);
        if (!printErrors(errors)) throw new CliError(ExitCode.error, "");
        printLine(`PASS: Approximate system memory used : ${((after - before) / MEBIBYTE).toFixed(2)} MB.`);
      },
    );
  },
};

async function readMemory(...[endpoint, tls, when]: [...Parameters<typeof readResidentMemory>, string]) {
  const memory = await readResidentMemory(endpoint, tls);
  if (typeof memory === "number") return memory;
  printLine(memory.problem);
  printLine(`FAIL: Could not read process_resident_memory_bytes ${when}.`);
  throw new CliError(ExitCode.error, "");
}

/** Writes as fast as the clients get answers. Resolves with the errors. */
async function fill(
  clients: readonly Client[],
  workload: Workload,
  prefix: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const { keys } = workload;
  const scale = `${keys} key-value pairs, ${KEY_BYTES + VALUE_BYTES} bytes per key-value, ${workload.clients} concurrent clients`;
  printLine(`Start data scale check for work load [${scale}].`);
  flush();
  const report = new LoadReport();
  const bar = new ProgressBar({ total: keys });
  const value = new Uint8Array(VALUE_BYTES);
  let left = keys;
  const work = async (client: Client): Promise<void> => {
    while (left > 0 && !signal.aborted) {
      left--;
      await measuredPut(client, { key: randomKey(prefix, KEY_BYTES), value }, report);
      bar.add(1);
    }
  };
  await Promise.all(clients.map(work));
  bar.finish();
  return report.stats().errors;
}
