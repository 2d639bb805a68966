/** `etcdctl elect` */
import { create } from "@bufbuild/protobuf";
import type { Client } from "../../../client/client.ts";
import { Election, observeLeaders } from "../../../client/election.ts";
import { EtcdError } from "../../../client/etcd-error.ts";
import { Session } from "../../../client/session.ts";
import { RangeResponseSchema } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { encodeOsString } from "../../common/os-string.ts";
import { flush } from "../../common/terminal.ts";
import { rangeView } from "../kv-view.ts";
import { openSession, withClient } from "../session.ts";
import { whenAborted, withInterrupt } from "../signals.ts";
import { type Output, show } from "../view.ts";

export const command: Command = {
  usage: "elect <election-name> [proposal]",
  description: `
With a proposal: waits until it is elected, prints its key and the proposal, and leads until it is interrupted. With --listen:
prints each leader's key and proposal.
`,
  flags: [{ name: "listen", short: "l", type: "bool", default: false, help: "only watch who is elected" }],
  async run(context) {
    const [name, proposal, ...others] = context.args;
    const listens = context.flags.bool("listen");
    const refuse = (problem: string): never => {
      throw new CliError(ExitCode.badArgs, problem);
    };
    if (name === undefined || others.length > 0) {
      return refuse("elect takes one election name argument and an optional proposal argument");
    }
    if (proposal === undefined && !listens) return refuse("no proposal argument but -l not set");
    if (proposal !== undefined && listens) return refuse("proposal given but -l is set");
    const { client, output } = await openSession(context);
    const election = encodeOsString(name);
    await withClient(client, (each) =>
      withInterrupt((signal) =>
        proposal === undefined
          ? observe(each, election, output, signal)
          : campaign(each, election, { value: encodeOsString(proposal), output, signal }),
      ),
    );
  },
};

async function observe(client: Client, name: Uint8Array, output: Output, signal: AbortSignal): Promise<void> {
  try {
    for await (const { header, kv } of observeLeaders(client, name, signal)) {
      show(output, rangeView(create(RangeResponseSchema, { header, kvs: [kv] })));
      flush();
    }
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
  }
  if (!signal.aborted) throw new CliError(ExitCode.error, "elect: observer lost");
}

async function campaign(
  client: Client,
  name: Uint8Array,
  { value, output, signal }: { value: Uint8Array; output: Output; signal: AbortSignal },
): Promise<void> {
  const session = await Session.open(client);
  const election = new Election(session, name);
  await election.campaign(value, signal);
  show(output, rangeView(await client.kv.range({ key: election.key }, { timeoutMs: Infinity })));
  flush();
  await Promise.race([whenAborted(signal), session.ended]);
  if (!signal.aborted) throw new CliError(ExitCode.error, "elect: session expired");
  await election.resign();
}
