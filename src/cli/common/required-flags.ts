/** Flags that must be given, in the words of cobra. */
import { FlagProblem, type Flags } from "./flags.ts";

/** Throws FlagProblem that names those which were not given. */
export function requireFlags(flags: Flags, names: readonly string[]): void {
  const missing = names.filter((name) => !flags.changed(name)).sort();
  if (missing.length === 0) return;
  throw new FlagProblem(`required flag(s) ${missing.map((name) => `"${name}"`).join(", ")} not set`);
}
