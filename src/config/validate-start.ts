/**
 * Checks that etcd makes a little later, while it sets up its listeners and its compactor; it then ends with the line
 * `discovery failed`, whatever the reason.
 */
import type { Config } from "./config.ts";
import { parseGoDuration, parseGoInteger, quoteGo } from "./go-values.ts";

/** TLS 1.2 suites by their Go names, in Go's order; two have an older name too. */
const CIPHER_SUITES: ReadonlySet<string> = new Set([
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
  "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
  "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
  "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
  "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
  "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
  "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
  "TLS_RSA_WITH_RC4_128_SHA",
  "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
  "TLS_RSA_WITH_AES_128_CBC_SHA",
  "TLS_RSA_WITH_AES_256_CBC_SHA",
  "TLS_RSA_WITH_AES_128_CBC_SHA256",
  "TLS_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_RSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
  "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
  "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
  "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
  "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
]);

const HOUR_MS = 3_600_000;

/** The first reason not to serve, or undefined. */
export function findStartProblem(config: Config): string | undefined {
  return (
    findCipherProblem(config) ??
    findListenerProblem(config) ??
    findMetricsListenerProblem(config) ??
    findCertificateProblem(config) ??
    findPeerNameProblem(config) ??
    findRetentionProblem(config)
  );
}

function findCipherProblem({ cipherSuites }: Config): string | undefined {
  const unknown = cipherSuites.find((suite) => !CIPHER_SUITES.has(suite));
  return unknown === undefined ? undefined : `unexpected TLS cipher suite ${quoteGo(unknown)}`;
}

function findListenerProblem(config: Config): string | undefined {
  const grpc = new Set(config.listenClientUrls.map((url) => url.text));
  for (const url of config.listenClientHttpUrls) {
    if (!grpc.has(url.text)) continue;
    return `cannot bind both --listen-client-urls and --listen-client-http-urls on the same url ${url.text}`;
  }
  if (hasCertificate(config)) return undefined;
  for (const url of [...config.listenClientUrls, ...config.listenClientHttpUrls]) {
    if (url.scheme !== "https" && url.scheme !== "unixs") continue;
    return `TLS key/cert (--cert-file, --key-file) must be provided for client url ${url.text} with HTTPS scheme`;
  }
  return undefined;
}

function findMetricsListenerProblem(config: Config): string | undefined {
  const secure = config.listenMetricsUrls.some((url) => url.scheme === "https" || url.scheme === "unixs");
  return secure && !hasCertificate(config)
    ? "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url"
    : undefined;
}

function hasCertificate(config: Config): boolean {
  return config.autoTls || (config.certFile !== "" && config.keyFile !== "");
}

function findCertificateProblem(config: Config): string | undefined {
  return (config.autoTls || config.peerAutoTls) && config.selfSignedCertValidityYears === 0
    ? "selfSignedCertValidity is invalid,it should be greater than 0"
    : undefined;
}

function findPeerNameProblem({
  peerCertAllowedCn: cns,
  peerCertAllowedHostname: hostnames,
}: Config): string | undefined {
  if (cns.length === 0 || hostnames.length === 0) return undefined;
  const list = (names: readonly string[]): string => `[${names.map(quoteGo).join(" ")}]`;
  return `AllowedCNs and AllowedHostnames are mutually exclusive (cns=${list(cns)}, hostnames=${list(hostnames)})`;
}

function findRetentionProblem(config: Config): string | undefined {
  const retention = parseRetention(config);
  return typeof retention === "string" ? `error parsing CompactionRetention: ${retention}` : undefined;
}

/**
 * What `--auto-compaction-retention` asks for: milliseconds in periodic mode (a bare number is hours), revisions in revision mode;
 * 0 is off. A string is the reason why it cannot be read.
 */
export function parseRetention({
  autoCompactionMode,
  autoCompactionRetention: text,
}: Pick<Config, "autoCompactionMode" | "autoCompactionRetention">): number | string {
  if (text === "") return 0;
  const count = parseGoInteger(text, { min: 0n, max: 2n ** 63n - 1n });
  if (typeof count === "number") return autoCompactionMode === "periodic" ? count * HOUR_MS : count;
  const durationMs = parseGoDuration(text);
  if (autoCompactionMode === "periodic" && durationMs !== undefined) return durationMs;
  return `time: invalid duration ${quoteGo(text)}`;
}
