/**
 * Joins what tsc has emitted into one file a program, thread and pool job, and the chunks that they share: each of five threads would
 * otherwise find and read a hundred modules of its own at every start.
 *
 *     node scripts/bundle.ts [folder]     # dist unless given; changed in place
 *
 * Declarations stay as they are, and so do npm packages and `workers/urls.js`: it says where threads' files are by where itself is, so it
 * is no part of a chunk, and chunks find it as `#urls` (package.json, imports).
 */
import { globSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
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

rmSync(output, { recursive: true, force: true });
await build({
  entryPoints: globSync(ENTRIES, { cwd: folder }),
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
  plugins: [keepUrls],
  logLevel: "warning",
});
for (const name of globSync("**/*.js", { cwd: folder })) if (name !== URLS) rmSync(join(folder, name));
for (const name of globSync("**/*.js", { cwd: output })) {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  renameSync(join(output, name), join(folder, name));
}
rmSync(output, { recursive: true });
