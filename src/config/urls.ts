/** URLs of listeners and of members, checked as etcd checks them and with its texts. */
import { isIP } from "node:net";

import { ConfigError } from "./config-error.ts";
import { quoteGo } from "./go-values.ts";

/** One URL of a listen or advertise flag. Plain data: it may cross to a worker. */
export interface ListenUrl {
  readonly scheme: "http" | "https" | "unix" | "unixs";
  /** `host:port`, or the socket's path of a unix URL. */
  readonly address: string;
  /** Host without brackets; empty for a unix URL. */
  readonly host: string;
  /** 0 for a unix URL. */
  readonly port: number;
  /** The whole URL, as members publish it. */
  readonly text: string;
}

/**
 * Reads one URL.
 * @throws ConfigError with etcd's text
 */
export function parseUrl(text: string): ListenUrl {
  const { scheme, authority, path } = splitUrl(text);
  if (scheme === "unix" || scheme === "unixs") {
    return { scheme, address: authority + path, host: "", port: 0, text };
  }
  if (scheme !== "http" && scheme !== "https") {
    throw new ConfigError(`URL scheme must be http, https, unix, or unixs: ${text}`);
  }
  const address = authority.slice(authority.lastIndexOf("@") + 1);
  const hostPort = splitHostPort(address);
  if (hostPort === undefined) {
    throw new ConfigError(`URL address does not have the form "host:port": ${text}`);
  }
  if (path !== "") throw new ConfigError(`URL must not contain a path: ${text}`);
  const normalized = scheme + text.slice(scheme.length);
  return { scheme, address, host: hostPort.host, port: Number(hostPort.port), text: normalized };
}

/** Reads a comma list of URLs; sorted by text, repetitions dropped, as etcd keeps them. */
export function parseUrls(list: string): ListenUrl[] {
  const byText = new Map<string, ListenUrl>();
  for (const text of list.split(",")) {
    const url = parseUrl(text.trim());
    byText.set(url.text, url);
  }
  return [...byText.values()].sort((a, b) => (a.text < b.text ? -1 : 1));
}

/** The first reason why these URLs cannot be bound, or undefined. A name other than localhost cannot. */
export function findUnbindable(urls: readonly ListenUrl[]): string | undefined {
  const bad = urls.find((url) => !isUnix(url) && url.host !== "localhost" && !isGoIp(url.host));
  return bad && `expected IP in URL for binding (${bad.text})`;
}

/** The first reason why these URLs cannot be advertised, or undefined. */
export function findUnadvertisable(
  urls: readonly ListenUrl[],
  { allowUnix }: { allowUnix: boolean },
): string | undefined {
  for (const url of urls) {
    if (isUnix(url) && allowUnix) continue;
    if (isUnix(url) && !/:\d*$/.test(url.address)) return `address ${url.address}: missing port in address`;
    if (!isUnix(url) && url.host === "") return `unexpected empty host (${url.text})`;
  }
  return undefined;
}

function isUnix(url: ListenUrl): boolean {
  return url.scheme === "unix" || url.scheme === "unixs";
}

/** Go's net.ParseIP knows no zones. */
function isGoIp(host: string): boolean {
  return isIP(host) !== 0 && !host.includes("%");
}

/** The parts of a URL that matter here, found by the rules (and with the complaints) of Go's net/url. */
function splitUrl(text: string): { scheme: string; authority: string; path: string } {
  const fail = (why: string): never => {
    throw new ConfigError(`parse ${quoteGo(text)}: ${why}`);
  };
  // oxlint-disable-next-line no-control-regex -- Go refuses exactly these
  if (/[\x00-\x1f\x7f]/.test(text)) fail("net/url: invalid control character in URL");
  if (text.startsWith(":")) fail("missing protocol scheme");
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(text)?.[1] ?? "";
  const rest = (scheme === "" ? text : text.slice(scheme.length + 1)).replace(/[?#].*$/, "");
  if (scheme === "" && /^[^/]*:/.test(rest)) fail("first path segment in URL cannot contain colon");
  if (!rest.startsWith("//")) return { scheme: scheme.toLowerCase(), authority: "", path: rest };
  const slash = rest.indexOf("/", 2);
  const authority = rest.slice(2, slash === -1 ? undefined : slash);
  const problem = findAuthorityProblem(authority);
  if (problem !== undefined) fail(problem);
  return { scheme: scheme.toLowerCase(), authority, path: slash === -1 ? "" : rest.slice(slash) };
}

function findAuthorityProblem(authority: string): string | undefined {
  const hostPort = authority.slice(authority.lastIndexOf("@") + 1);
  if (hostPort.startsWith("[") && !hostPort.includes("]")) return "missing ']' in host";
  const port = /:[^:\]]*$/.exec(hostPort)?.[0];
  if (port !== undefined && !/^:\d*$/.test(port)) return `invalid port ${quoteGo(port)} after host`;
  const escape = /%(?!25)..?/.exec(hostPort)?.[0];
  if (escape !== undefined) return `invalid URL escape ${quoteGo(escape)}`;
  const character = /[ "<>\\^`{|}]/.exec(hostPort)?.[0];
  return character && `invalid character ${quoteGo(character)} in host name`;
}

function splitHostPort(address: string): { host: string; port: string } | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d*)$/.exec(address);
  return match === null ? undefined : { host: match[1] ?? match[2] ?? "", port: match[3] };
}
