/** `etcdutl completion` */
import type { Command } from "../../common/command.ts";
import { completionCommand } from "../../common/completion.ts";

export const command: Command = completionCommand(
  "etcdutl",
  async () => (await import("../command-table.ts")).ETCDUTL,
);
