/** `etcdutl defrag` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { fileErrorText } from "../../common/file-error.ts";
import { requireFlags } from "../../common/required-flags.ts";
import { defragmentDirectory } from "../defragment.ts";

export const command: Command = {
  usage: "defrag",
  description: `
Makes the database of a member that does not run as small as its data. For a running member there is etcdctl defrag.
`,
  flags: [{ name: "data-dir", type: "string", default: "", help: "Required. Data directory of the member" }],
  async run({ flags }) {
    requireFlags(flags, ["data-dir"]);
    const dataDir = flags.string("data-dir");
    try {
      await defragmentDirectory(dataDir);
    } catch (error) {
      const problem = `Failed to defragment etcd data[${dataDir}] (${fileErrorText(error)})`;
      throw new CliError(ExitCode.error, problem);
    }
  },
};
