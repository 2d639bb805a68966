/** `etcdctl lease keep-alive` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { flush, printLine } from "../../common/terminal.ts";
import { leaseHex } from "../kv-view.ts";
import { keepAliveView, readLeaseId } from "../lease-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "keep-alive [options] <leaseID>",
  description: `
Renews the lease again and again, until it is interrupted or the lease is gone.
`,
  flags: [{ name: "once", type: "bool", default: false, help: "renew once and exit" }],
  async run(context) {
    const id = readLeaseId(context.args, "lease keep-alive command needs lease ID as argument");
    const { client, output } = await openSession(context);
    const fail = (message: string) => new CliError(ExitCode.badConnection, message);
    if (context.flags.bool("once")) {
      const answer = await withClient(client, (each) => each.keepAliveOnce(id), fail);
      return show(output, keepAliveView(answer));
    }
    await withClient(
      client,
      async (each) => {
        for await (const answer of each.keepAlive(id)) {
          show(output, keepAliveView(answer));
          flush();
        }
      },
      fail,
    );
    if (output.format === "simple") printLine(`lease ${leaseHex(id)} expired or revoked.`);
  },
};
