/**
 * Which programs the tests run: the member under test (ours, unless ETCD_UNDER_TEST names another binary: that is how
 * the tests themselves are checked against a real etcd) and the reference etcd (ETCD_REFERENCE, or `etcd` on PATH).
 */
import { accessSync, constants, realpathSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";

/** Root of this checkout. */
export const PROJECT_ROOT = resolve(import.meta.dirname, "../..");

/** A program and the arguments that come before all others. */
export interface Program {
  readonly file: string;
  readonly args: readonly string[];
}

/** Full path of an executable on PATH, without the launchers of this project; undefined if there is none. */
export function findOnPath(name: string): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const candidate = join(folder, name);
    try {
      accessSync(candidate, constants.X_OK);
      if (!realpathSync(candidate).startsWith(join(PROJECT_ROOT, "bin"))) return candidate;
    } catch {
      continue;
    }
  }
  return undefined;
}

/** Our own member, run by the Node that runs the tests, with the flag that `npm start` and the first line of `bin/etcd` give it. */
export function ourMember(): Program {
  return { file: process.execPath, args: ["--v8-pool-size=0", join(PROJECT_ROOT, "bin/etcd")] };
}

/** The member the tests are about: ours, or the binary that ETCD_UNDER_TEST names. */
export function memberUnderTest(): Program {
  const other = process.env["ETCD_UNDER_TEST"];
  return other === undefined ? ourMember() : { file: other, args: [] };
}

/** True if the member under test is ours. */
export function testsOurMember(): boolean {
  return process.env["ETCD_UNDER_TEST"] === undefined;
}

/** The reference etcd, or undefined if this machine has none. */
export function referenceMember(): Program | undefined {
  const file = process.env["ETCD_REFERENCE"] ?? findOnPath("etcd");
  return file === undefined ? undefined : { file, args: [] };
}

/**
 * The `skip` option of a test that needs a program: undefined if it is there, the reason if it is not. In CI a missing
 * program is a failure and not a skip, so there the answer is always undefined.
 */
export function skipWithout(program: string, found: unknown): string | undefined {
  if (found !== undefined || process.env["CI"] !== undefined) return undefined;
  return `${program} is not on PATH (a failure when CI is set)`;
}
