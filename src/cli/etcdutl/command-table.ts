/** All commands of etcdutl. */
import type { CommandEntry } from "../common/command.ts";

/** The program and everything below it. */
export const ETCDUTL: CommandEntry = {
  name: "etcdutl",
  summary: "An administrative command line tool for etcd.",
  inheritedFlags: [
    {
      name: "write-out",
      short: "w",
      type: "string",
      default: "simple",
      help: "output format (fields, json, protobuf, simple, table)",
    },
  ],
  commands: [
    {
      name: "defrag",
      summary: "Defragments the database of a member that does not run",
      load: () => import("./commands/defrag.ts"),
    },
    {
      name: "snapshot",
      summary: "Manages snapshots of members",
      commands: [
        {
          name: "restore",
          summary: "Makes a member's data directory out of a snapshot",
          load: () => import("./commands/snapshot-restore.ts"),
        },
        {
          name: "status",
          summary: "Prints what a snapshot holds",
          load: () => import("./commands/snapshot-status.ts"),
        },
      ],
    },
    {
      name: "hashkv",
      summary: "Prints the hash of the key history in a file",
      load: () => import("./commands/hashkv.ts"),
    },
    {
      name: "version",
      summary: "Prints the version of etcdutl",
      load: () => import("./commands/version.ts"),
    },
    {
      name: "completion",
      summary: "Prints a completion script",
      load: () => import("./commands/completion.ts"),
    },
    {
      name: "migrate",
      summary: "Says how data is moved to another version of etcd",
      load: () => import("./commands/migrate.ts"),
    },
  ],
};
