/**
 * Joins what tsc has emitted into one file a program, thread and pool job, and chunks of what that loads later: each of five threads would
 * otherwise find and read a hundred modules of its own at every start. They share no files either: what two threads share would be a dozen
 * files for each of them.
 *
 *     node scripts/bundle.ts [folder]     # dist unless given; changed in place
 *
 * Declarations stay as they are, and so do npm packages (but for comlink) and `workers/urls.js`: it says where threads' files are by where itself is, so it
 * is no part of a chunk, and chunks find it as `#urls` (package.json, imports).
 */
import { globSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const ENTRIES = [
  "src/index.js",
  "src/cli/*/{etcd,etcdctl,etcdutl}.js",
  "workers/*.worker.js",
  "workers/pool/snapshot-file.js",
];
const URLS = "workers/urls.js";

const folder = resolve(process.argv[2] ?? "dist");
const output = `${folder}.bundle`;

const keepUrls: Plugin = {
  name: "keep-urls",
  setup: (bundler) => {
    bundler.onResolve({ filter: /\/urls\.js$/ }, ({ path, resolveDir }) =>
      resolve(resolveDir, path) === join(folder, URLS) ? { path: "#urls", external: true } : undefined,
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

rmSync(output, { recursive: true, force: true });
for (const entry of globSync(ENTRIES, { cwd: folder })) await bundle(entry);
for (const name of globSync("**/*.js", { cwd: folder })) if (name !== URLS) rmSync(join(folder, name));
for (const name of globSync("**/*.js", { cwd: output })) {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  renameSync(join(output, name), join(folder, name));
}
rmSync(output, { recursive: true });

async function bundle(entry: string): Promise<void> {
  await build({
    entryPoints: [entry],
    absWorkingDir: folder,
    outdir: output,
    outbase: ".",
    bundle: true,
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    format: "esm",
    platform: "node",
    target: "node24",
    packages: "external",
    // A thread has less to read. Names stay, and lines, for the sake of stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 120,
    plugins: [keepUrls, joinComlink, takeBuiltins],
    logLevel: "warning",
  });
}
