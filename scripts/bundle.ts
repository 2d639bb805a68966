/**
 * Makes dist/ from the sources: one file a program, thread and pool job, and chunks of what that loads later. Each of five threads would
 * otherwise find and read a hundred modules of its own at every start. They share no files either: what two threads share would be a dozen
 * files for each of them.
 *
 *     node scripts/bundle.ts [folder]     # dist unless given; replaced as a whole, and only once all is made
 *
 * npm packages stay what they are, but for comlink and those of etcdctl and etcdutl, and so does `workers/urls.ts`: it says where threads'
 * files are by where itself is, so it is no part of a chunk, and chunks find it as `#urls` (package.json, imports). What dist/ is made from is
 * noted in it for the launchers (`bin/build-state.js`), and for the log which place in the sources a place in a file is
 * (`src/telemetry/caller.ts`). Declarations are tsc's work (`npm run build`).
 */
import { createRequire, SourceMap } from "node:module";
import { globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type BuildOptions, type Plugin } from "esbuild";
import { CALLERS_SUFFIX, type CallersTable } from "../src/telemetry/caller.ts";

const ENTRIES = [
  "src/index.ts",
  "src/cli/*/{etcd,etcdctl,etcdutl}.ts",
  "workers/*.worker.ts",
  "workers/pool/snapshot-file.ts",
];
const URLS = "workers/urls.ts";
/** What decides about the build without being compiled. Packages that it takes in have their version in the lock file. */
const SETTINGS = ["package.json", "package-lock.json", "tsconfig.json", "scripts/bundle.ts"];

/** Calls of log functions, by name or by their level: where V8 says that they are. */
const LOG_CALL = /(?<=\.)(?:debug|info|warn|error|fatal)\(|(?<=\])\(/g;

/** `bin/build-state.js`, which old Node versions have to understand, and so has no types. */
const { describe, noteOf } = createRequire(import.meta.url)("../bin/build-state.js") as {
  readonly describe: (file: string) => readonly [size: number, mtimeMs: number] | null;
  readonly noteOf: (dist: string, program: string) => string;
};

/** Programs that run for a moment: with their packages in the same file a command costs a third less. */
const TOOL = /\/etcd(ctl|utl)\.ts$/;
const JOINED_PACKAGES: BuildOptions = {
  external: ["lmdb", "@grpc/proto-loader"], // one brings a binary, the other one is never used
  // What CommonJS packages ask Node for.
  banner: { js: 'const require = process.getBuiltinModule("module").createRequire(import.meta.url);' },
};

const ROOT = resolve(import.meta.dirname, "..");
const folder = resolve(process.argv[2] ?? join(ROOT, "dist"));
const output = `${folder}.new`;

const keepUrls: Plugin = {
  name: "keep-urls",
  setup: (bundler) => {
    bundler.onResolve({ filter: /\/urls\.ts$/ }, ({ path, resolveDir }) =>
      resolve(resolveDir, path) === join(ROOT, URLS) ? { path: "#urls", external: true } : undefined,
    );
  },
};

/** Every thread needs it. A package that is found and read at run time costs each of them more than the code is worth. */
const joinComlink: Plugin = {
  name: "join-comlink",
  setup: (bundler) => {
    // Its name alone stands for a CommonJS file.
    bundler.onResolve({ filter: /^comlink(\/|$)/ }, ({ path }) => ({
      path: fileURLToPath(import.meta.resolve(path === "comlink" ? "comlink/dist/esm/comlink.mjs" : path)),
    }));
  },
};

/**
 * Node's own modules, each name taken as it is needed. `import ... from "node:fs"` reads every property of the module for the sake of its
 * named exports, and some of them load others at their first use (promises, Web Cryptography, undici): 5 to 20 ms in each thread.
 */
const takeBuiltins: Plugin = {
  name: "take-builtins",
  setup: (bundler) => {
    bundler.onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === "import-statement" ? { path, namespace: "builtin" } : undefined,
    );
    bundler.onLoad({ filter: /^/, namespace: "builtin" }, ({ path }) => ({
      contents: [
        `const builtin = process.getBuiltinModule("${path}");`,
        "const take = (name) => builtin[name];",
        "export default builtin;",
        // What nobody imports is dropped.
        ...exportedNames(path).map((name) => `export const ${name} = /* @__PURE__ */ take("${name}");`),
      ].join("\n"),
    }));
  },
};

function exportedNames(builtin: string): string[] {
  const names = Object.keys(process.getBuiltinModule(builtin) ?? {});
  return names.filter((name) => name !== "default" && /^[A-Za-z_]\w*$/.test(name));
}

const before = describeSources();
try {
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const read = new Map<string, ReadonlySet<string>>();
  const bundleAndNote = async (entry: string): Promise<unknown> => read.set(entry, await bundle(entry));
  await Promise.all([
    compile({ entryPoints: [URLS] }),
    ...globSync(ENTRIES, { cwd: ROOT }).map(bundleAndNote),
  ]);
  noteInputs(read);
  for (const name of globSync("**/*.js.map", { cwd: output })) noteCallers(join(output, name));
  rmSync(folder, { recursive: true, force: true });
  renameSync(output, folder);
} finally {
  rmSync(output, { recursive: true, force: true });
}

function bundle(entry: string): Promise<Set<string>> {
  return compile({
    entryPoints: [entry],
    bundle: true,
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    ...(TOOL.test(entry) ? JOINED_PACKAGES : { packages: "external" }),
    plugins: [keepUrls, joinComlink, takeBuiltins],
  });
}

/** Returns the sources that were read. */
async function compile(options: BuildOptions): Promise<Set<string>> {
  const { metafile } = await build({
    ...options,
    absWorkingDir: ROOT,
    outdir: output,
    outbase: ".",
    format: "esm",
    platform: "node",
    target: "node24",
    // A thread has less to read. Names stay, and lines, for the sake of stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 120,
    sourcemap: "external",
    sourcesContent: false,
    logLevel: "warning",
    metafile: true,
  });
  return new Set(Object.keys(metafile.inputs).filter((name) => name in before));
}

/** Leaves of a source map what log lines need of it: a map of everything would cost a member's start its reading. */
function noteCallers(mapFile: string): void {
  const map = new SourceMap(JSON.parse(readFileSync(mapFile, "utf8")));
  const built = mapFile.slice(0, -".map".length);
  const callers: Record<string, string> = {};
  for (const [line, text] of readFileSync(built, "utf8").split("\n").entries()) {
    for (const { index } of text.matchAll(LOG_CALL)) {
      const entry = map.findEntry(line, index);
      if (!("originalSource" in entry)) continue;
      const source = resolve(dirname(mapFile), entry.originalSource).split(/[/\\]/);
      callers[`${line + 1}:${index + 1}`] = `${source.slice(-2).join("/")}:${entry.originalLine + 1}`;
    }
  }
  if (Object.keys(callers).length > 0)
    writeFileSync(built + CALLERS_SUFFIX, JSON.stringify(callers satisfies CallersTable));
  rmSync(mapFile);
}

/** All that could be read, as it was before anything was: a file that changes in the meantime makes the build stale. */
function describeSources(): Record<string, ReturnType<typeof describe>> {
  const names = [...SETTINGS, URLS, ...globSync("{src,workers}/**/*.ts", { cwd: ROOT })];
  return Object.fromEntries(names.map((name) => [name, describe(join(ROOT, name))]));
}

function noteInputs(read: ReadonlyMap<string, ReadonlySet<string>>): void {
  mkdirSync(dirname(noteOf(output, "all")));
  note(read, "all", /^/);
  note(read, "etcd", /^workers\/|\/etcd\.ts$/); // no other program has threads
  note(read, "etcdctl", /\/etcdctl\.ts$/);
  note(read, "etcdutl", /\/etcdutl\.ts$/);
}

/** Notes what the entries of a program are made from. */
function note(read: ReadonlyMap<string, ReadonlySet<string>>, program: string, entries: RegExp): void {
  const names = [...read].flatMap(([entry, inputs]) => (entries.test(entry) ? [...inputs] : []));
  const madeFrom = [...new Set([...SETTINGS, URLS, ...names])].map((name) => [name, before[name]]);
  writeFileSync(noteOf(output, program), JSON.stringify(Object.fromEntries(madeFrom)));
}
