/**
 * Ends `npm ci` and `npm install` of a checkout: builds dist/, unless it is fresh, since members start sooner from it. The launchers
 * do without, so whatever is in the way of a build is told, and is no failure. Any Node can read this file.
 */
"use strict";

var path = require("path");
var spawnSync = require("child_process").spawnSync;
var isFresh = require("../bin/build-state.js").isFresh;

var NODE_MAJOR_MIN = 24;
var ROOT = path.join(__dirname, "..");

var obstacle = isFresh(ROOT, "all") ? null : build();
if (obstacle !== null) {
  process.stdout.write("dist/ was not built, so programs run from their sources: " + obstacle + "\n");
}

/** Returns why there is no build, or null if there is one. */
function build() {
  if (Number(process.versions.node.split(".")[0]) < NODE_MAJOR_MIN)
    return "this is Node.js " + process.version;
  try {
    require.resolve("esbuild");
  } catch {
    return "development dependencies are not installed";
  }
  var script = path.join(__dirname, "bundle.ts");
  var run = spawnSync(process.execPath, [script], { stdio: ["ignore", "inherit", "inherit"] });
  return run.status === 0 ? null : "`npm run build` fails, see above";
}
