/** `etcdctl completion` */
import type { Command } from "../../common/command.ts";
import { completionCommand } from "../../common/completion.ts";

export const command: Command = completionCommand(
  "etcdctl",
  async () => (await import("../command-table.ts")).ETCDCTL,
);
