/** Whether two lists of peer URLs mean the same listeners: compared as text, then with their host names resolved. */

/** The address of a host name, without brackets. Rejects when it has none. */
export type ResolveHost = (host: string) => Promise<string>;

/** Undefined if the lists are equal, in whatever order; otherwise why not, in etcd's words. */
export async function findUrlDifference(
  a: readonly string[],
  b: readonly string[],
  resolve: ResolveHost,
): Promise<string | undefined> {
  if (a.length !== b.length) return `len(${quoteList(a)}) != len(${quoteList(b)})`;
  if (findUnequal(a, b) === undefined) return undefined;
  let resolved: [readonly string[], readonly string[]];
  try {
    resolved = [await resolveAll(a, resolve), await resolveAll(b, resolve)];
  } catch (error) {
    return (error as Error).message;
  }
  const unequal = findUnequal(...resolved);
  return unequal && `resolved urls: ${JSON.stringify(unequal[0])} != ${JSON.stringify(unequal[1])}`;
}

function findUnequal(a: readonly string[], b: readonly string[]): [string, string] | undefined {
  const others = b.toSorted();
  const at = a.toSorted().findIndex((url, i) => url !== others[i]);
  return at === -1 ? undefined : [a.toSorted()[at], others[at]];
}

function quoteList(urls: readonly string[]): string {
  return `[${urls.map((url) => JSON.stringify(url)).join(" ")}]`;
}

function resolveAll(urls: readonly string[], resolve: ResolveHost): Promise<string[]> {
  return Promise.all(urls.map((url) => resolveUrl(url, resolve)));
}

/** `http://name:port` with the name's address in its place. Socket paths and localhost stay as they are, as in etcd. */
async function resolveUrl(url: string, resolve: ResolveHost): Promise<string> {
  const parts = /^(https?:\/\/)(?:\[([^\]]*)\]|([^:/]*))(:\d*)$/.exec(url);
  if (parts === null) return url;
  const [, scheme, ipv6, name, port] = parts;
  const host = ipv6 ?? name ?? "";
  if (host === "localhost") return url;
  let address: string;
  try {
    address = await resolve(host);
  } catch (error) {
    throw new Error(`failed to resolve ${JSON.stringify(url)} (${(error as Error).message})`, {
      cause: error,
    });
  }
  return `${scheme}${address.includes(":") ? `[${address}]` : address}${port}`;
}
