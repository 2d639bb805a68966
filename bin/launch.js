/**
 * Starts one of the three programs. Old Node versions have to understand this file, or they could not say that they are too old:
 * nothing here may be newer than Node 12, and everything newer is reached at run time only.
 */
"use strict";

var fs = require("fs");
var os = require("os");
var path = require("path");
var isFresh = require("./build-state.js").isFresh;

var NODE_MAJOR_MIN = 24;
var ROOT = path.join(__dirname, "..");

/** Runs what was built from `src/cli/<tool>/<tool>.ts`, or that file itself where it has changed since. */
exports.launch = function launch(tool) {
  if (Number(process.versions.node.split(".")[0]) < NODE_MAJOR_MIN) {
    process.stderr.write(describeOldNode(tool));
    process.exit(1);
  }
  enableCompileCache();
  var url = require("url").pathToFileURL(exports.findProgram(tool)).href;
  import(url)
    .then(function run(program) {
      return program.main();
    })
    .then(
      function end(code) {
        process.exitCode = code;
      },
      function fail(error) {
        process.stderr.write(tool + ": " + ((error && error.stack) || error) + "\n");
        process.exit(1);
      },
    );
};

function describeOldNode(tool) {
  return (
    tool +
    " needs Node.js " +
    NODE_MAJOR_MIN +
    " or later, but this is Node.js " +
    process.version +
    " (" +
    process.execPath +
    ").\n" +
    "In a checkout, `npm ci` brings the right one along, and `npm start` or `npx " +
    tool +
    "` use it.\n" +
    "Elsewhere, install it from https://nodejs.org/ or with `npm install --global node@" +
    NODE_MAJOR_MIN +
    "`.\n"
  );
}

/** A published package has no sources; in a checkout a build counts only while it is theirs. */
exports.findProgram = function findProgram(tool) {
  var source = path.join(ROOT, "src", "cli", tool, tool + ".ts");
  var built = path.join(ROOT, "dist", "src", "cli", tool, tool + ".js");
  return isFresh(ROOT, tool) || !fs.existsSync(source) ? built : source;
};

/**
 * Keeps compiled code between runs, for this thread and, by the environment variable, for worker threads. Without it every
 * thread strips the types of its sources at each start: 150 ms and 60 MB more. A cache that cannot be used is no error.
 */
function enableCompileCache() {
  if (process.env.NODE_COMPILE_CACHE || process.env.NODE_DISABLE_COMPILE_CACHE) return;
  var folder = findCacheFolder();
  if (folder === undefined) return;
  var result = require("module").enableCompileCache(folder);
  if (result.directory) process.env.NODE_COMPILE_CACHE = folder;
}

/** Compiled code is run as it is found, so the folder must belong to this user, and nobody else may write to it. */
function findCacheFolder() {
  var home = process.env.XDG_CACHE_HOME || (os.homedir() && path.join(os.homedir(), ".cache"));
  var user = process.getuid ? String(process.getuid()) : "user";
  var candidates = [path.join(os.tmpdir(), "concord-cache-" + user)];
  if (home) candidates.unshift(path.join(home, "concord"));
  return candidates.find(isSafeFolder);
}

function isSafeFolder(folder) {
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    var stat = fs.lstatSync(folder);
    if (!stat.isDirectory()) return false;
    if (process.getuid && (stat.uid !== process.getuid() || (stat.mode & 0o022) !== 0)) return false;
    fs.accessSync(folder, fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
