/**
 * Adds to package-lock.json the optional packages of other platforms that npm left out because its registry did not have them.
 * `npm ci` refuses a lock file without them, on every platform. Run it after any change of dependencies:
 *
 *     node scripts/complete-lockfile.ts
 */
import { readFileSync, writeFileSync } from "node:fs";

interface LockEntry {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  cpu?: string[];
  os?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

interface Lock {
  packages: Record<string, LockEntry>;
}

const SYSTEMS = [
  "darwin",
  "linux",
  "win32",
  "freebsd",
  "netbsd",
  "openbsd",
  "openharmony",
  "android",
  "aix",
  "sunos",
];
const CPUS: Readonly<Record<string, string>> = {
  x64: "x64",
  arm64: "arm64",
  aarch64: "arm64",
  arm: "arm",
  armv7: "arm",
  ia32: "ia32",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
  wasm32: "wasm32",
};

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8")) as Lock;
const added: string[] = [];

for (const [folder, parent] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(parent.optionalDependencies ?? {})) {
    if (isLocked(folder, name)) continue;
    const entry: LockEntry = { version: range.replace(/^[^\d]*/, ""), ...platformOf(name), optional: true };
    if (parent.dev) entry.dev = true;
    lock.packages[`node_modules/${name}`] = entry;
    added.push(`${name}@${entry.version}`);
  }
}

const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = Object.fromEntries(sorted);
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(added.length === 0 ? "nothing was missing" : `added ${added.join(", ")}`);

/** npm looks in the parent's own folder first, then in the folders above it. */
function isLocked(folder: string, name: string): boolean {
  for (let at = folder; at !== ""; at = at.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, "")) {
    if (lock.packages[`${at}/node_modules/${name}`] !== undefined) return true;
  }
  return lock.packages[`node_modules/${name}`] !== undefined;
}

/** The platform is in the name of such packages: `@scope/tool-linux-x64-gnu`. It keeps npm from fetching them elsewhere. */
function platformOf(name: string): Pick<LockEntry, "os" | "cpu" | "libc"> {
  const words = name.split(/[^a-z0-9]+/);
  const os = SYSTEMS.find((system) => words.includes(system));
  const cpu = words.map((word) => CPUS[word]).find((known) => known !== undefined);
  const entry: Pick<LockEntry, "os" | "cpu" | "libc"> = {};
  if (cpu !== undefined) entry.cpu = [cpu];
  if (os !== undefined) entry.os = [os];
  if (words.includes("musl") || words.includes("musleabihf")) entry.libc = ["musl"];
  if (words.includes("gnu") || words.includes("gnueabihf")) entry.libc = ["glibc"];
  return entry;
}
