/** Founders from DNS: SRV records `_etcd-server-ssl._tcp.<domain>` (https) and `_etcd-server._tcp.<domain>` (http). */

import type { ResolveHost } from "./peer-urls.ts";

/** One SRV record. */
export interface SrvRecord {
  /** Host name; a trailing dot does not belong to URLs. */
  readonly target: string;
  readonly port: number;
}

/** What the search needs of DNS. Both reject when there is no answer. */
export interface SrvResolver {
  readonly resolveSrv: (name: string) => Promise<readonly SrvRecord[]>;
  readonly resolveHost: ResolveHost;
}

export interface SrvSearch {
  /** `--discovery-srv` */
  readonly domain: string;
  /** `--discovery-srv-name`; empty = none. */
  readonly serviceName: string;
  /** Name and advertised peer URLs of this member: the record with its address gets its name. */
  readonly memberName: string;
  readonly advertisedUrls: readonly string[];
}

/** What one of the two services said. */
export interface SrvFound {
  readonly scheme: "https" | "http";
  readonly service: string;
  /** `name=url` each. */
  readonly members: readonly string[];
  /** Why there are none. */
  readonly problem?: string;
}

/** Asks for both services, TLS first. Never rejects. */
export async function findSrvMembers(search: SrvSearch, resolver: SrvResolver): Promise<SrvFound[]> {
  const suffix = search.serviceName === "" ? "" : `-${search.serviceName}`;
  const found: SrvFound[] = [];
  for (const [scheme, base] of [
    ["https", "etcd-server-ssl"],
    ["http", "etcd-server"],
  ] as const) {
    const service = base + suffix;
    try {
      found.push({ scheme, service, members: await findOfService(search, resolver, scheme, service) });
    } catch (error) {
      const problem = `error querying DNS SRV records for _${service} ${(error as Error).message}`;
      found.push({ scheme, service, members: [], problem });
    }
  }
  return found;
}

async function findOfService(
  search: SrvSearch,
  resolver: SrvResolver,
  scheme: string,
  service: string,
): Promise<string[]> {
  const own = new Map<string, string>();
  for (const url of search.advertisedUrls) {
    const [, urlScheme, host, port] = /^(\w+):\/\/(.*):(\d*)$/.exec(url) ?? [];
    if (urlScheme === undefined) continue;
    own.set(`${await addressOf(host.replace(/^\[|\]$/g, ""), resolver)}:${port}`, url);
  }
  const members: string[] = [];
  let failure: Error | undefined;
  let unnamed = 0;
  for (const { target, port } of await resolver.resolveSrv(`_${service}._tcp.${search.domain}`)) {
    const url = `${scheme}://${target.replace(/\.$/, "")}:${port}`;
    let advertised: string | undefined;
    try {
      advertised = own.get(`${await addressOf(target, resolver)}:${port}`);
    } catch (error) {
      failure = error as Error;
      continue;
    }
    const name = advertised === undefined ? String(unnamed++) : search.memberName;
    if (advertised === undefined || advertised.startsWith(`${scheme}:`)) members.push(`${name}=${url}`);
    else {
      failure = new Error(
        `bootstrap at ${url} from DNS for ${service} has scheme mismatch with expected peer ${advertised}`,
      );
    }
  }
  if (members.length === 0 && failure !== undefined) throw failure;
  return members;
}

/** "localhost" is looked up too: a record may name it. */
function addressOf(host: string, resolver: SrvResolver): Promise<string> {
  return resolver.resolveHost(host.replace(/\.$/, ""));
}
