import { test } from "node:test";
import { deepEqual, equal } from "node:assert/strict";
import { compareVersions, decideClusterVersion, judgeVersions } from "./version.ts";

const decide = (
  clusterVersion: string,
  serverVersions: readonly (string | null)[],
  downgradeTarget = "",
): string | null => decideClusterVersion({ clusterVersion, serverVersions, downgradeTarget });

test("only major and minor matter", () => {
  equal(compareVersions("3.6.0", "3.6.9"), 0);
  equal(compareVersions("3.10.0", "3.9.9") > 0, true);
  equal(compareVersions("3.6.0-rc.1+x", "3.5.0") > 0, true);
  equal(compareVersions("not_decided", "3.0.0") < 0, true);
});

test("the first version is the oldest server's, or the minimum while one is silent", () => {
  equal(decide("", ["3.6.6", "3.5.30", "3.6.1"]), "3.5.0");
  equal(decide("", ["3.6.6", null]), "3.0.0");
  equal(decide("", ["3.6.6", "x"]), "3.0.0");
  equal(decide("", ["3.6.6"]), "3.6.0");
});

test("a version rises once all servers are newer, and never falls by itself", () => {
  equal(decide("3.5.0", ["3.6.6", "3.6.1"]), "3.6.0");
  equal(decide("3.5.0", ["3.6.6", null]), null);
  equal(decide("3.5.0", ["3.6.6", "3.5.3"]), null);
  equal(decide("3.6.0", ["3.6.6"]), null);
  equal(decide("3.6.0", ["3.5.6"]), null);
  equal(decide("3.6.0", ["4.0.0"]), null);
});

test("a downgrade goes one minor version down", () => {
  equal(decide("3.6.0", ["3.6.6", "3.6.6"], "3.5.0"), "3.5.0");
  equal(decide("3.5.0", ["3.6.6"], "3.5.0"), null);
  equal(decide("3.6.0", ["3.6.6"], "3.4.0"), null);
  equal(decide("3.6.0", ["3.6.6", "3.5.0"], "3.5.0"), null);
});

test("a member may join a cluster that is not newer", () => {
  const judge = (versions: readonly (string | null)[], downgrading = false): boolean =>
    judgeVersions(
      versions.map((clusterVersion, i) => ({ id: String(i), clusterVersion })),
      "3.6.6",
      downgrading,
    ).compatible;
  equal(judge(["3.6.0", null]), true);
  equal(judge(["3.5.0", "not_decided"]), true);
  equal(judge(["3.5.0", "3.7.0"]), false);
  equal(judge(["2.3.0"]), false);
  equal(judge([null, "not_decided"]), false, "nobody told a version");
  equal(judge([]), false);
  equal(judge(["3.7.0"], true), true);
  equal(judge(["3.6.0"], true), false);
  deepEqual(judgeVersions([{ id: "a", clusterVersion: "3.7.0" }], "3.6.6", false).warnings, [
    {
      message: "cluster version of remote member is not compatible; too high",
      fields: {
        "remote-member-id": "a",
        "remote-member-cluster-version": "3.7.0",
        "maximum-cluster-version-supported": "3.6.0",
      },
    },
  ]);
});
