/** All commands of etcdctl. */
import type { CommandEntry } from "../common/command.ts";
import { GLOBAL_FLAGS } from "./global-flags.ts";

const ENDPOINT: CommandEntry = {
  name: "endpoint",
  summary: "Endpoint related commands",
  inheritedFlags: [
    { name: "cluster", type: "bool", default: false, help: "use all endpoints from the cluster member list" },
  ],
  commands: [
    {
      name: "health",
      summary: "Checks whether the endpoints of `--endpoints` answer",
      load: () => import("./commands/endpoint-health.ts"),
    },
    {
      name: "status",
      summary: "Prints the status of the endpoints of `--endpoints`",
      load: () => import("./commands/endpoint-status.ts"),
    },
    {
      name: "hashkv",
      summary: "Prints a hash of the key history of each endpoint of `--endpoints`",
      load: () => import("./commands/endpoint-hashkv.ts"),
    },
  ],
};

const MEMBER: CommandEntry = {
  name: "member",
  summary: "Membership related commands",
  commands: [
    {
      name: "add",
      summary: "Adds a member into the cluster",
      load: () => import("./commands/member-add.ts"),
    },
    {
      name: "remove",
      summary: "Removes a member from the cluster",
      load: () => import("./commands/member-remove.ts"),
    },
    {
      name: "update",
      summary: "Updates a member in the cluster",
      load: () => import("./commands/member-update.ts"),
    },
    {
      name: "list",
      summary: "Lists all members of the cluster",
      load: () => import("./commands/member-list.ts"),
    },
    {
      name: "promote",
      summary: "Promotes a non-voting member in the cluster",
      load: () => import("./commands/member-promote.ts"),
    },
  ],
};

/** The program and everything below it, in the order in which suggestions name them. */
export const ETCDCTL: CommandEntry = {
  name: "etcdctl",
  summary: "A command line client for etcd.",
  inheritedFlags: GLOBAL_FLAGS,
  commands: [
    { name: "get", summary: "Gets the key or a range of keys", load: () => import("./commands/get.ts") },
    { name: "put", summary: "Puts the given key into the store", load: () => import("./commands/put.ts") },
    {
      name: "del",
      summary: "Deletes the key or range of keys [key, range_end)",
      load: () => import("./commands/del.ts"),
    },
    {
      name: "txn",
      summary: "Runs several requests as one transaction",
      load: () => import("./commands/txn.ts"),
    },
    {
      name: "compaction",
      summary: "Compacts the history of all keys",
      load: () => import("./commands/compaction.ts"),
    },
    ENDPOINT,
    {
      name: "move-leader",
      summary: "Transfers leadership to another etcd cluster member.",
      load: () => import("./commands/move-leader.ts"),
    },
    {
      name: "version",
      summary: "Prints the version of etcdctl",
      load: () => import("./commands/version.ts"),
    },
    MEMBER,
    {
      name: "completion",
      summary: "Prints a completion script",
      load: () => import("./commands/completion.ts"),
    },
  ],
};
