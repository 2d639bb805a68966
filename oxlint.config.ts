/**
 * Lint rules, and who may import whom (docs/ARCHITECTURE.md, "Folders"): the layers of the pure folders, the one home of each
 * package, and what pure code may not touch.
 */
import { defineConfig } from "oxlint";

/** The pure folders, lowest layer first: a folder may import lower layers, never its own layer or a higher one. */
const PURE_LAYERS = [
  ["base"],
  ["proto", "ring", "http2"],
  ["raft", "mvcc", "lease", "auth", "cluster"],
  ["watch", "apply"],
];

const PURE_FOLDERS = PURE_LAYERS.flat();

const IO_FOLDERS = [
  "grpc",
  "server",
  "wal",
  "peer",
  "storage",
  "snapshot",
  "telemetry",
  "config",
  "client",
  "embed",
  "cli",
];

/** The Backend interface stands beside its implementations; pure code may know it, so only other initials are banned there. */
const STORAGE_BUT_BACKEND = "storage/([^b]|b[^a])";

/** Packages with one home: where else they may not be imported. */
const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  lmdb: ["storage"],
  comlink: [],
  piscina: [],
  "node:worker_threads": [],
  pino: ["telemetry"],
  "prom-client": ["telemetry"],
  commander: ["cli"],
  yaml: ["config"],
  "@grpc/grpc-js": ["client", "grpc"],
  "@opentelemetry": ["telemetry"],
};

const PURE_GLOBALS = [
  "process",
  "Buffer",
  "Date",
  "performance",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "crypto",
  "fetch",
];

function mayImport(folder: string): readonly string[] {
  const layer = PURE_LAYERS.findIndex((folders) => folders.includes(folder));
  if (layer !== -1) return PURE_LAYERS.slice(0, layer).flat();
  const io =
    folder === "server" ? IO_FOLDERS.filter((name) => !["wal", "storage"].includes(name)) : IO_FOLDERS;
  const pure =
    folder === "server" ? PURE_FOLDERS.filter((name) => !["raft", "mvcc"].includes(name)) : PURE_FOLDERS;
  return [...pure, ...io];
}

/** Bans by `no-restricted-imports`. Its regular expressions know no look-ahead, so every forbidden folder is named. */
function importPatterns(folder: string): { regex: string; message: string }[] {
  const isPure = PURE_FOLDERS.includes(folder);
  const allowed = new Set([folder, ...mayImport(folder)]);
  const patterns = [...PURE_FOLDERS, ...IO_FOLDERS]
    .filter((other) => !allowed.has(other))
    .map((other) => ({
      regex: `^(\\.\\./)+${isPure && other === "storage" ? STORAGE_BUT_BACKEND : `${other}/`}`,
      message: `src/${folder} may not import src/${other} (docs/ARCHITECTURE.md, Folders)`,
    }));
  if (isPure)
    patterns.push({
      regex: "^node:",
      message: "pure folders use no Node API: time, chance and I/O are arguments",
    });
  if (folder !== "cli" && folder !== "embed") {
    patterns.push({ regex: "^(\\.\\./)+workers/", message: "only src/cli and src/embed start threads" });
  }
  for (const [name, homes] of Object.entries(PACKAGE_HOMES)) {
    if (homes.includes(folder)) continue;
    const home = homes.length === 0 ? "workers" : homes.join(" and ");
    patterns.push({ regex: `^${name}(/|$)`, message: `${name} is used by ${home} only` });
  }
  return patterns;
}

const SOURCES_OF = (folder: string): string[] => [`src/${folder}/**/*.ts`];
const TESTS = ["**/*.test.ts", "**/testing/**", "test/**", "bench/**", "load-tests/**"];

export default defineConfig({
  plugins: ["typescript", "unicorn", "oxc", "import"],
  categories: { correctness: "error", suspicious: "error" },
  options: { typeAware: true },
  ignorePatterns: ["dist/**", "src/proto/gen/**"],
  rules: {
    eqeqeq: "error",
    "import/no-cycle": "error",
    "import/no-default-export": "error",
    "typescript/consistent-type-imports": "error",
    "typescript/no-explicit-any": "error",
    // node:test runs and awaits what these return.
    "typescript/no-floating-promises": [
      "error",
      {
        allowForKnownSafeCalls: [
          { from: "package", name: ["test", "it", "describe", "suite"], package: "node:test" },
        ],
      },
    ],
    "typescript/no-misused-promises": "error",
    "unicorn/no-array-sort": "off",
    "unicorn/no-array-reverse": "off",
    "unicorn/consistent-function-scoping": "off",
    "unicorn/prefer-add-event-listener": "off",
    "typescript/no-unsafe-type-assertion": "off",
    "import/no-unassigned-import": "off",
    "no-shadow": "off",
    "no-await-in-loop": "off",
    // The compiler sees that a switch is exhaustive, the rule does not.
    "typescript/consistent-return": "off",
    // The length is meant wherever this is written here.
    "unicorn/no-new-array": "off",
  },
  overrides: [
    ...[...PURE_FOLDERS, ...IO_FOLDERS].map((folder) => ({
      files: SOURCES_OF(folder),
      rules: { "no-restricted-imports": ["error", { patterns: importPatterns(folder) }] as never },
    })),
    ...PURE_FOLDERS.map((folder) => ({
      files: SOURCES_OF(folder),
      rules: {
        "no-restricted-globals": ["error", ...PURE_GLOBALS] as never,
        "no-restricted-properties": ["error", { object: "Math", property: "random" }] as never,
      },
    })),
    {
      files: TESTS,
      rules: {
        "no-restricted-imports": "off",
        "no-restricted-globals": "off",
        "no-restricted-properties": "off",
      },
    },
    { files: ["oxlint.config.ts", "k6/*.js"], rules: { "import/no-default-export": "off" } },
    { files: ["bin/**"], rules: { "typescript/no-require-imports": "off", "no-var": "off" } },
  ],
});
