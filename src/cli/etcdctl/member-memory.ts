/** How much memory a member takes, as its metrics say. */
import { readFileSync } from "node:fs";
import { request as requestHttp } from "node:http";
import { request as requestHttps, type RequestOptions } from "node:https";
import type { TlsOptions } from "../../client/credentials.ts";
import { fileErrorText } from "../common/file-error.ts";

const METRIC = "process_resident_memory_bytes";

/** Bytes, or why they could not be read. */
export async function readResidentMemory(
  endpoint: string,
  tls: TlsOptions | undefined,
): Promise<number | { readonly problem: string }> {
  const url = `${/^https?:\/\//.test(endpoint) ? endpoint : `http://${endpoint}`}/metrics`;
  let options: RequestOptions;
  try {
    options = url.startsWith("https:") ? tlsOptions(tls) : {};
  } catch (error) {
    return { problem: `client certificate error: ${fileErrorText(error)}` };
  }
  try {
    const text = await fetchText(url, options);
    const line = text.split("\n").find((each) => each.startsWith(`${METRIC} `));
    return line === undefined
      ? { problem: `could not find: ${METRIC}` }
      : Number(line.slice(METRIC.length).trim());
  } catch (error) {
    return { problem: `fetch error: ${fileErrorText(error)}` };
  }
}

function tlsOptions(tls: TlsOptions = {}): RequestOptions {
  return {
    ...(tls.certFile && { cert: readFileSync(tls.certFile) }),
    ...(tls.keyFile && { key: readFileSync(tls.keyFile) }),
    ...(tls.caFile && { ca: readFileSync(tls.caFile) }),
    rejectUnauthorized: tls.insecureSkipVerify !== true,
  };
}

function fetchText(url: string, options: RequestOptions): Promise<string> {
  const send = url.startsWith("https:") ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const request = send(url, options, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () => resolve(Buffer.concat(parts).toString()));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end();
  });
}
