/** `etcdctl defrag` */
import { EtcdError } from "../../../client/etcd-error.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { formatGoDuration } from "../../common/go-duration.ts";
import { flush, printErrorLine, printLine } from "../../common/terminal.ts";
import { selectedEndpoints } from "../endpoints.ts";
import { connect, openSession } from "../session.ts";

export const command: Command = {
  usage: "defrag",
  description: `
Defragments one member after the other. For the files of a member that does not run there is etcdutl defrag.
`,
  async run(context) {
    const session = await openSession(context);
    let failures = 0;
    for (const endpoint of await selectedEndpoints(context, session)) {
      const client = await connect({ ...session.client, endpoints: [endpoint] });
      const startNs = process.hrtime.bigint();
      const took = (): string => formatGoDuration(process.hrtime.bigint() - startNs);
      try {
        await client.maintenance.defragment();
        printLine(`Finished defragmenting etcd member[${endpoint}]. took ${took()}`);
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        failures++;
        printErrorLine(`Failed to defragment etcd member[${endpoint}]. took ${took()}. (${error.message})`);
      } finally {
        client.close();
        flush();
      }
    }
    if (failures > 0) throw new CliError(ExitCode.error, "");
  },
};
