/** Which endpoints the `endpoint` commands look at, and the calls to each of them. */
import type { Client, ClientOptions } from "../../client/client.ts";
import { EtcdError } from "../../client/etcd-error.ts";
import { CliError, ExitCode } from "../common/cli-error.ts";
import type { CommandContext } from "../common/command.ts";
import { printErrorLine } from "../common/terminal.ts";
import { connect, type Session } from "./session.ts";

/** Those of `--endpoints`, or with `--cluster` the client URLs of all members. Throws CliError. */
export async function selectedEndpoints(
  { flags }: CommandContext,
  session: Session,
): Promise<readonly string[]> {
  if (!flags.bool("cluster")) return session.client.endpoints;
  // Without the user: the member list needs no login, and so no password.
  const client = await connect({ ...session.client, user: undefined });
  try {
    const { members } = await client.cluster.memberList({ linearizable: true });
    return members.flatMap((member) => member.clientURLs);
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    const problem = `failed to fetch endpoints from etcd cluster member list: ${error.message}`;
    throw new CliError(ExitCode.error, problem);
  } finally {
    client.close();
  }
}

/** An endpoint and its answer. */
export interface EndpointAnswer<T> {
  readonly endpoint: string;
  readonly answer: T;
}

/**
 * Asks one endpoint after the other. Failures get a line on stderr each, `Failed to get the <what> of endpoint …`, and the
 * last one is returned beside the answers of the others.
 */
export async function askEach<T>(
  options: ClientOptions,
  endpoints: readonly string[],
  { what, ask }: { what: string; ask: (client: Client) => Promise<T> },
): Promise<{ answers: EndpointAnswer<T>[]; failure: EtcdError | undefined }> {
  const answers: EndpointAnswer<T>[] = [];
  let failure: EtcdError | undefined;
  for (const endpoint of endpoints) {
    const client = await connect({ ...options, endpoints: [endpoint] });
    try {
      answers.push({ endpoint, answer: await ask(client) });
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      failure = error;
      printErrorLine(`Failed to get the ${what} of endpoint ${endpoint} (${error.message})`);
    } finally {
      client.close();
    }
  }
  return { answers, failure };
}
