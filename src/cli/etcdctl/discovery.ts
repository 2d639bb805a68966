/** Endpoints of a cluster from its domain's SRV records: `_etcd-client-ssl._tcp` and `_etcd-client._tcp`. */
import { resolveSrv } from "node:dns/promises";
import { CliError, ExitCode } from "../common/cli-error.ts";
import { goQuote } from "../common/go-quote.ts";
import { printErrorLine } from "../common/terminal.ts";

/** Looks the endpoints up. Those without TLS are left out, with a line on stderr each, unless `allowInsecure`. */
export async function discoverEndpoints(
  domain: string,
  suffix: string,
  allowInsecure: boolean,
): Promise<string[]> {
  const ending = suffix === "" ? "" : `-${suffix}`;
  const [secure, plain] = await Promise.allSettled([
    lookUp("https", `etcd-client-ssl${ending}`, domain),
    lookUp("http", `etcd-client${ending}`, domain),
  ]);
  if (secure.status === "rejected" && plain.status === "rejected") {
    throw new CliError(
      ExitCode.error,
      `dns lookup errors: ${secure.reason.message} and ${plain.reason.message}`,
    );
  }
  const found = [secure, plain].flatMap((result) => (result.status === "fulfilled" ? result.value : []));
  if (allowInsecure) return found;
  for (const endpoint of found.filter((each) => each.startsWith("http://"))) {
    printErrorLine(`ignoring discovered insecure endpoint ${goQuote(endpoint)}`);
  }
  return found.filter((each) => !each.startsWith("http://"));
}

async function lookUp(scheme: string, service: string, domain: string): Promise<string[]> {
  const records = await resolveSrv(`_${service}._tcp.${domain}`);
  return records.map((record) => `${scheme}://${record.name.replace(/\.$/, "")}:${record.port}`);
}
