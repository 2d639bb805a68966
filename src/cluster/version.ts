/**
 * Versions of servers and of the cluster: what the cluster's version should be, and whether a member may join. The leader alone
 * decides; a version is a promise that every member understands what belongs to it. Only major and minor matter.
 */

/** The version from which on members can belong to a cluster; also what one with silent members begins with. */
export const CLUSTER_VERSION_MIN = "3.0.0";

/** `x.y.z` with an optional pre-release and build suffix, which do not matter here; null if it is none. */
export function parseVersion(text: string): { major: number; minor: number } | null {
  const parts = /^(\d{1,9})\.(\d{1,9})\.\d{1,9}(?:[-+].*)?$/.exec(text);
  return parts === null ? null : { major: Number(parts[1]), minor: Number(parts[2]) };
}

/** Negative if `a` is older than `b` in major and minor, 0 if they are equal there. What is no version is older than any. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parseVersion(a), parseVersion(b)];
  if (left === null || right === null) return Number(left !== null) - Number(right !== null);
  return left.major - right.major || left.minor - right.minor;
}

/** The form in which the cluster version is stored. */
export function toClusterVersion(version: string): string {
  const parts = parseVersion(version);
  return parts === null ? version : `${parts.major}.${parts.minor}.0`;
}

/** The first version of the database that says which it is. */
const STORAGE_VERSION_MIN = "3.6.0";

/** What a database of those before is taken for. */
const STORAGE_VERSION_SILENT = "3.5.0";

/** What a database file of a cluster of this version says of its version: nothing before 3.6, and while undecided. */
export function storageVersionOf(clusterVersion: string): string {
  return compareVersions(clusterVersion, STORAGE_VERSION_MIN) >= 0 ? STORAGE_VERSION_MIN : "";
}

/** Version of the database of a cluster of this version; empty while undecided. */
export function detectedStorageVersion(clusterVersion: string): string {
  if (clusterVersion === "") return "";
  return storageVersionOf(clusterVersion) || STORAGE_VERSION_SILENT;
}

export interface VersionFacts {
  /** As applied; empty while undecided. */
  readonly clusterVersion: string;
  /** Server version of every member, this one included; null = it did not answer. */
  readonly serverVersions: readonly (string | null)[];
  /** Version that the cluster is being downgraded to; empty = none. */
  readonly downgradeTarget: string;
}

/** The version to set, or null to leave it as it is. */
export function decideClusterVersion(facts: VersionFacts): string | null {
  const { clusterVersion, downgradeTarget } = facts;
  const minimum = minimumVersion(facts.serverVersions);
  if (clusterVersion === "") return minimum === null ? CLUSTER_VERSION_MIN : toClusterVersion(minimum);
  if (minimum === null) return null;
  if (downgradeTarget !== "") return decideDowngrade(clusterVersion, minimum, downgradeTarget);
  const sameMajor = parseVersion(clusterVersion)?.major === parseVersion(minimum)?.major;
  return sameMajor && compareVersions(clusterVersion, minimum) < 0 ? toClusterVersion(minimum) : null;
}

/** Whether `to` is one minor version below `from`: further down no downgrade goes. */
export function isDowngradeOf(from: string, to: string): boolean {
  const [above, below] = [parseVersion(from), parseVersion(to)];
  return above !== null && below !== null && above.major === below.major && above.minor - 1 === below.minor;
}

/** The target, unless a server is older than one version above it. */
function decideDowngrade(clusterVersion: string, minimum: string, target: string): string | null {
  return isDowngradeOf(clusterVersion, target) && isDowngradeOf(minimum, target)
    ? toClusterVersion(target)
    : null;
}

/** The oldest of them; null if one is unknown. */
function minimumVersion(versions: readonly (string | null)[]): string | null {
  let minimum: string | null = null;
  for (const version of versions) {
    if (version === null || parseVersion(version) === null) return null;
    if (minimum === null || compareVersions(version, minimum) < 0) minimum = version;
  }
  return minimum;
}

/** What a member of a running cluster says of its version. */
export interface RemoteVersion {
  /** Hex id. */
  readonly id: string;
  /** `etcdcluster` of its /version, perhaps `not_decided`; null = no answer. */
  readonly clusterVersion: string | null;
}

/** A line for the log about one member's version. */
export interface VersionWarning {
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

/**
 * Whether a server of `serverVersion` may join: at least one member told a cluster version, and none told one that is out of the
 * window. While a downgrade is under way, the window is the next minor version alone.
 */
export function judgeVersions(
  remotes: readonly RemoteVersion[],
  serverVersion: string,
  downgradeEnabled: boolean,
): { readonly compatible: boolean; readonly warnings: readonly VersionWarning[] } {
  const server = parseVersion(serverVersion) ?? { major: 0, minor: 0 };
  const highest = `${server.major}.${server.minor + Number(downgradeEnabled)}.0`;
  const lowest = downgradeEnabled ? highest : CLUSTER_VERSION_MIN;
  const warnings: VersionWarning[] = [];
  let told = 0;
  for (const { id, clusterVersion } of remotes) {
    if (clusterVersion === null) continue;
    const fields = { "remote-member-id": id, "remote-member-cluster-version": clusterVersion };
    const warn = (message: string, limit: Record<string, string> = {}): void => {
      warnings.push({ message, fields: { ...fields, ...limit } });
    };
    if (parseVersion(clusterVersion) === null) {
      warn("failed to parse cluster version of remote member");
    } else if (compareVersions(clusterVersion, lowest) < 0) {
      const limit = { "minimum-cluster-version-supported": lowest };
      warn("cluster version of remote member is not compatible; too low", limit);
      return { compatible: false, warnings };
    } else if (compareVersions(clusterVersion, highest) > 0) {
      const limit = { "maximum-cluster-version-supported": highest };
      warn("cluster version of remote member is not compatible; too high", limit);
      return { compatible: false, warnings };
    } else told++;
  }
  return { compatible: told > 0, warnings };
}
