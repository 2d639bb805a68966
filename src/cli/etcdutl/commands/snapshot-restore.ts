/** `etcdutl snapshot restore` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { withFileProgress } from "../file-progress.ts";
import { restoreSnapshot } from "../restore.ts";

const DEFAULT_URL = "http://localhost:2380";
/** etcd's default, which nothing here needs. */
const MAP_BYTES_DEFAULT = 10n * 1024n * 1024n * 1024n;

export const command: Command = {
  usage: "restore <filename> --data-dir {output dir} [options]",
  description: `
Makes the data directory of one member of a new cluster out of a snapshot, of this program's or of any etcd's. To restore a cluster,
run it for each member with the same snapshot, --initial-cluster and --initial-cluster-token, and then start the members with these.
`,
  flags: [
    { name: "data-dir", type: "string", default: "", help: "data directory to make (default: <name>.etcd)" },
    {
      name: "wal-dir",
      type: "string",
      default: "",
      help: "folder of the log (default: in the data directory)",
    },
    {
      name: "initial-cluster",
      type: "string",
      default: `default=${DEFAULT_URL}`,
      help: "all members of the new cluster with their peer URLs",
    },
    {
      name: "initial-cluster-token",
      type: "string",
      default: "etcd-cluster",
      help: "name of the new cluster, the same for all members",
    },
    {
      name: "initial-advertise-peer-urls",
      type: "string",
      default: DEFAULT_URL,
      help: "peer URLs of this member",
    },
    { name: "name", type: "string", default: "default", help: "name of this member" },
    {
      name: "skip-hash-check",
      type: "bool",
      default: false,
      help: "accept a file without a SHA-256, or with a wrong one (one that was copied from a data directory has none)",
    },
    {
      name: "initial-memory-map-size",
      type: "uint64",
      default: MAP_BYTES_DEFAULT,
      help: "has no effect: the database's map needs no size",
    },
    {
      name: "bump-revision",
      type: "uint64",
      default: 0n,
      help: "how much the revision is to be higher than in the snapshot",
    },
    {
      name: "mark-compacted",
      type: "bool",
      default: false,
      help: "mark everything before the new revision as compacted (with --bump-revision, and only then)",
    },
  ],
  async run({ args: [snapshotPath, ...others], flags }) {
    if (snapshotPath === undefined || others.length > 0) {
      throw new CliError(ExitCode.badArgs, "snapshot restore requires exactly one argument");
    }
    const bumpRevision = Number(flags.uint64("bump-revision"));
    if (bumpRevision > 0 !== flags.bool("mark-compacted")) {
      throw new CliError(ExitCode.badArgs, "--mark-compacted required if --revision-bump > 0");
    }
    if (!Number.isSafeInteger(bumpRevision)) {
      throw new CliError(ExitCode.badArgs, "--bump-revision leads beyond the highest revision there can be");
    }
    const name = flags.string("name");
    await withFileProgress(snapshotPath, (onProgress) =>
      restoreSnapshot({
        snapshotPath,
        name,
        dataDir: flags.string("data-dir") || `${name}.etcd`,
        walDir: flags.string("wal-dir"),
        peerUrls: flags.string("initial-advertise-peer-urls").split(","),
        initialCluster: flags.string("initial-cluster"),
        initialClusterToken: flags.string("initial-cluster-token"),
        skipHashCheck: flags.bool("skip-hash-check"),
        bumpRevision,
        onProgress,
      }),
    );
  },
};
