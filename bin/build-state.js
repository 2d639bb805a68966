/**
 * Tells whether dist/ was built from the sources as they are. `scripts/bundle.ts` notes the files that a program is made from, with size
 * and time of the last change; the build is fresh while all of them have both. Equality and not order: a file that is exchanged
 * for an older one makes the build stale, too. As in launch.js, nothing here is newer than Node 12.
 */
"use strict";

var fs = require("fs");

/**
 * Where the build of a program (`etcd`, `etcdctl`, `etcdutl`), or of `all` that is published, notes what it was made from: a map of
 * paths from the root to what {@link describe} says of them.
 */
exports.noteOf = function noteOf(dist, program) {
  return dist + "/made-from/" + program + ".json";
};

/** Size and time of change (ms) of a file; null if there is none. */
exports.describe = function describe(file) {
  var stat = fs.statSync(file, { throwIfNoEntry: false });
  return stat ? [stat.size, stat.mtimeMs] : null;
};

/** Whether `root`/dist has of this program what a build would make now. */
exports.isFresh = function isFresh(root, program) {
  try {
    var files = JSON.parse(fs.readFileSync(exports.noteOf(root + "/dist", program), "utf8"));
    return Object.keys(files).every(function isUnchanged(name) {
      var now = exports.describe(root + "/" + name);
      return now !== null && now[0] === files[name][0] && now[1] === files[name][1];
    });
  } catch {
    return false;
  }
};
