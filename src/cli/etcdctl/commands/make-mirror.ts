/** `etcdctl make-mirror` */
import type { ClientOptions } from "../../../client/client.ts";
import { EtcdError } from "../../../client/etcd-error.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import type { Flags } from "../../common/flags.ts";
import { flush, printLine } from "../../common/terminal.ts";
import { Mirror } from "../mirror.ts";
import { connect, openSession, splitUser } from "../session.ts";

export const command: Command = {
  usage: "make-mirror [options] <destination>",
  description: `
Copies all keys, or those that begin with --prefix, to the destination, and then every change, until it is interrupted. Every 30
seconds it prints how much it has copied. With --rev it copies no keys first, but every change from that revision on: so a mirror
that was interrupted is gone on with.
`,
  flags: [
    { name: "prefix", type: "string", default: "", help: "copy keys that begin so" },
    { name: "rev", type: "int64", default: 0n, help: "copy changes from this revision on" },
    {
      name: "max-txn-ops",
      type: "uint64",
      default: 128n,
      help: "most operations in a transaction at the destination",
    },
    {
      name: "dest-prefix",
      type: "string",
      default: "",
      help: "prefix at the destination, instead of --prefix",
    },
    {
      name: "no-dest-prefix",
      type: "bool",
      default: false,
      help: "leave the prefix away at the destination",
    },
    { name: "dest-cert", type: "string", default: "", help: "TLS certificate file for the destination" },
    { name: "dest-key", type: "string", default: "", help: "TLS key file for the destination" },
    {
      name: "dest-cacert",
      type: "string",
      default: "",
      help: "certificates of the authorities that the destination is checked against",
    },
    {
      name: "dest-insecure-transport",
      type: "bool",
      default: true,
      help: "connect to the destination without TLS",
    },
    {
      name: "dest-user",
      type: "string",
      default: "",
      help: "name[:password] at the destination; asks for a password that is missing",
    },
    { name: "dest-password", type: "string", default: "", help: "password at the destination" },
  ],
  async run({ args: [endpoint, ...others], ...context }) {
    if (endpoint === undefined || others.length > 0) {
      throw new CliError(ExitCode.badArgs, "make-mirror takes one destination argument");
    }
    const { flags } = context;
    const session = await openSession({ args: [endpoint], ...context });
    const destination = await connect({ ...session.client, ...destinationOptions(endpoint, flags) });
    const source = await connect(session.client);
    const prefixes = selectPrefixes(flags);
    let copied = 0;
    const report = setInterval(() => {
      printLine(String(copied));
      flush();
    }, REPORT_MS);
    const mirror = new Mirror({
      ...prefixes,
      source,
      destination,
      txnOpsMax: Math.max(1, Number(flags.uint64("max-txn-ops"))),
      onCopied: (count) => (copied += count),
    });
    try {
      const from = flags.int64("rev");
      await mirror.follow(from > 1n ? from - 1n : await mirror.copyAll());
    } catch (error) {
      throw error instanceof EtcdError ? new CliError(ExitCode.error, error.message) : error;
    } finally {
      clearInterval(report);
      source.close();
      destination.close();
    }
  },
};

const REPORT_MS = 30_000;

function selectPrefixes(flags: Flags): { prefix: string; destinationPrefix: string } {
  const prefix = flags.string("prefix");
  const wanted = flags.string("dest-prefix");
  const removes = flags.bool("no-dest-prefix");
  if (removes && wanted !== "") {
    const both = "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one";
    throw new CliError(ExitCode.badArgs, both);
  }
  return { prefix, destinationPrefix: removes ? "" : wanted || prefix };
}

/** Everything else is as for the source. */
function destinationOptions(
  endpoint: string,
  flags: Flags,
): Pick<ClientOptions, "endpoints" | "tls" | "user"> {
  const certFile = flags.string("dest-cert");
  const keyFile = flags.string("dest-key");
  const caFile = flags.string("dest-cacert");
  const usesTls = certFile + keyFile + caFile !== "" || !flags.bool("dest-insecure-transport");
  return {
    endpoints: [endpoint],
    tls: usesTls ? { certFile, keyFile, caFile } : undefined,
    user: splitUser(flags.string("dest-user"), flags.string("dest-password"), "Destination Password: "),
  };
}
