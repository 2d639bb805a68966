/** All commands of etcdctl. */
import type { CommandEntry } from "../common/command.ts";
import type { FlagSpec } from "../common/flags.ts";
import { GLOBAL_FLAGS } from "./global-flags.ts";

const CLUSTER_FLAG: readonly FlagSpec[] = [
  { name: "cluster", type: "bool", default: false, help: "use all endpoints from the cluster member list" },
];

const ENDPOINT: CommandEntry = {
  name: "endpoint",
  summary: "Endpoint related commands",
  inheritedFlags: CLUSTER_FLAG,
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

const LEASE: CommandEntry = {
  name: "lease",
  summary: "Lease related commands",
  commands: [
    { name: "grant", summary: "Creates leases", load: () => import("./commands/lease-grant.ts") },
    { name: "revoke", summary: "Revokes leases", load: () => import("./commands/lease-revoke.ts") },
    {
      name: "timetolive",
      summary: "Gets a lease's time to live",
      load: () => import("./commands/lease-timetolive.ts"),
    },
    { name: "list", summary: "Lists all leases", load: () => import("./commands/lease-list.ts") },
    {
      name: "keep-alive",
      summary: "Keeps leases alive (renews them)",
      load: () => import("./commands/lease-keep-alive.ts"),
    },
  ],
};

const ALARM: CommandEntry = {
  name: "alarm",
  summary: "Alarm related commands",
  commands: [
    { name: "disarm", summary: "Disarms all alarms", load: () => import("./commands/alarm-disarm.ts") },
    { name: "list", summary: "Lists all alarms", load: () => import("./commands/alarm-list.ts") },
  ],
};

const SNAPSHOT: CommandEntry = {
  name: "snapshot",
  summary: "Manages snapshots of members",
  commands: [
    {
      name: "save",
      summary: "Saves a member's database to a file",
      load: () => import("./commands/snapshot-save.ts"),
    },
  ],
};

const CHECK: CommandEntry = {
  name: "check",
  summary: "Commands that check properties of the cluster",
  commands: [
    {
      name: "perf",
      summary: "Checks the performance of the cluster",
      load: () => import("./commands/check-perf.ts"),
    },
    {
      name: "datascale",
      summary: "Checks how much memory data of a given size takes at a member",
      load: () => import("./commands/check-datascale.ts"),
    },
  ],
};

const DOWNGRADE: CommandEntry = {
  name: "downgrade",
  summary: "Downgrade related commands",
  commands: [
    {
      name: "validate",
      summary: "Says whether the cluster could be downgraded",
      load: async () => ({ command: (await import("./commands/downgrade.ts")).validate }),
    },
    {
      name: "enable",
      summary: "Lets members of the version below into the cluster",
      load: async () => ({ command: (await import("./commands/downgrade.ts")).enable }),
    },
    {
      name: "cancel",
      summary: "Ends a downgrade before all members have the lower version",
      load: async () => ({ command: (await import("./commands/downgrade.ts")).cancel }),
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
    ALARM,
    {
      name: "defrag",
      summary: "Defragments the database of the members of `--endpoints`",
      inheritedFlags: CLUSTER_FLAG,
      load: () => import("./commands/defrag.ts"),
    },
    ENDPOINT,
    {
      name: "move-leader",
      summary: "Transfers leadership to another etcd cluster member.",
      load: () => import("./commands/move-leader.ts"),
    },
    {
      name: "watch",
      summary: "Watches events stream on keys or prefixes",
      load: () => import("./commands/watch.ts"),
    },
    {
      name: "version",
      summary: "Prints the version of etcdctl",
      load: () => import("./commands/version.ts"),
    },
    LEASE,
    MEMBER,
    SNAPSHOT,
    {
      name: "make-mirror",
      summary: "Makes a mirror at the destination cluster",
      load: () => import("./commands/make-mirror.ts"),
    },
    { name: "lock", summary: "Acquires a named lock", load: () => import("./commands/lock.ts") },
    {
      name: "elect",
      summary: "Observes and participates in leader election",
      load: () => import("./commands/elect.ts"),
    },
    CHECK,
    {
      name: "completion",
      summary: "Prints a completion script",
      load: () => import("./commands/completion.ts"),
    },
    DOWNGRADE,
  ],
};
