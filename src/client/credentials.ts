/** TLS settings of a client, read from certificate files. */
import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import { ChannelCredentials } from "@grpc/grpc-js";

/** Certificates by file, as the `--cert`, `--key` and `--cacert` flags name them. Empty or undefined: none. */
export interface TlsOptions {
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Who may have signed the server's certificate; default: the system's authorities. */
  readonly caFile?: string | undefined;
  /** Name the server's certificate must have; default: the endpoint's host. */
  readonly serverName?: string | undefined;
  /** Accept any certificate. Only for tests. */
  readonly insecureSkipVerify?: boolean | undefined;
}

/** Reads the files and makes grpc-js credentials of them. Throws Error with the words etcd has for a bad file. */
export function createTlsCredentials(tls: TlsOptions): ChannelCredentials {
  const cert = tls.certFile ?? "";
  const key = tls.keyFile ?? "";
  if ((cert === "") !== (key === "")) {
    throw new Error(`KeyFile and CertFile must both be present[key: ${key}, cert: ${cert}]`);
  }
  const certificate = cert === "" ? null : readPem(cert);
  const privateKey = key === "" ? null : readPem(key);
  const authorities = tls.caFile ? readPem(tls.caFile) : Buffer.from(getCACertificates("system").join("\n"));
  const roots = authorities.length === 0 ? null : authorities;
  return ChannelCredentials.createSsl(roots, privateKey, certificate, {
    rejectUnauthorized: tls.insecureSkipVerify !== true,
  });
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`open ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

/** The system's words for the errors a user is likely to cause. */
function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOENT") return "no such file or directory";
  if (code === "EACCES") return "permission denied";
  return String(code ?? error);
}
