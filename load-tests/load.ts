/**
 * `npm run load -- <scenario>`: load on members for as long as it takes, with a verdict in the end.
 * Reading order: this file, scenarios/scenario.ts, scenarios/target.ts (who is loaded), then the scenarios themselves:
 * scenarios/capacity.ts, scenarios/soak.ts and scenarios/faults.ts.
 */
import { parseArgs } from "node:util";
import { CAPACITY } from "./scenarios/capacity.ts";
import { FAULTS } from "./scenarios/faults.ts";
import { Flags, LoadError, UsageError, type Scenario } from "./scenarios/scenario.ts";
import { SOAK } from "./scenarios/soak.ts";

const SCENARIOS: readonly Scenario[] = [SOAK, FAULTS, CAPACITY];
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const USAGE = `npm run load -- <scenario> [options]

${SCENARIOS.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}`).join("\n")}

npm run load -- <scenario> --help lists its options. Exit code: 0 if all is as it should be, ${EXIT_FAILED} if not, ${EXIT_USAGE} for wrong options.`;

function usageOf({ name, summary, flags }: Scenario): string {
  const words = Object.entries(flags).map(([flag, { value }]) => `--${flag}${value ? ` <${value}>` : ""}`);
  const width = Math.max(...words.map((word) => word.length)) + 2;
  const lines = Object.values(flags).map(({ help, fallback }, index) => {
    const shown = fallback === undefined ? "" : ` (default ${fallback})`;
    return `  ${words[index].padEnd(width)}${help}${shown}`;
  });
  return `npm run load -- ${name} [options]: ${summary}\n\n${lines.join("\n")}`;
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "help") {
    console.log(USAGE);
    return name === undefined ? EXIT_USAGE : 0;
  }
  const scenario = SCENARIOS.find((each) => each.name === name);
  if (scenario === undefined) throw new UsageError(`no scenario "${name}"\n\n${USAGE}`);
  const options = Object.fromEntries(
    Object.entries(scenario.flags).map(([flag, { value }]) => [
      flag,
      { type: value === undefined ? ("boolean" as const) : ("string" as const) },
    ]),
  );
  const { values } = parseArgs({ args: rest, options: { ...options, help: { type: "boolean" } } });
  if (values["help"] === true) {
    console.log(usageOf(scenario));
    return 0;
  }
  return (await scenario.run(new Flags(scenario.flags, values))) ? 0 : EXIT_FAILED;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage =
    error instanceof UsageError || String((error as { code?: unknown }).code).startsWith("ERR_PARSE_ARGS");
  console.error(isUsage || error instanceof LoadError ? (error as Error).message : error);
  process.exitCode = isUsage ? EXIT_USAGE : EXIT_FAILED;
}
// What still holds the process open by now (a connection to a member that is gone) is of no use to anybody.
process.exit();
