/** The Dockerfile names files that reach the builder, and its health check tells a ready member from others. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { tempDir } from "../support/temp-dir.ts";
import { readCompose, readText, ROOT } from "./compose-file.ts";

const dockerfile = readText("Dockerfile").replaceAll("\\\n", " ");
const HEALTH = fileURLToPath(new URL("deploy/docker/health.js", ROOT));
const ENTRY_POINT = fileURLToPath(new URL("deploy/docker/entrypoint.sh", ROOT));
const run = promisify(execFile);

/** The arguments of each line with this instruction. */
function instructions(name: string): string[][] {
  return dockerfile
    .split("\n")
    .filter((line) => line.startsWith(`${name} `))
    .map((line) => line.trim().split(/\s+/).slice(1));
}

test("what is copied exists, and .dockerignore lets it through", () => {
  const allowed = readText(".dockerignore")
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  const copied = instructions("COPY")
    .filter(([first]) => !first?.startsWith("--from"))
    .flatMap((words) => words.slice(0, -1));
  assert.ok(copied.includes("src"), "no COPY was understood");
  for (const path of copied) {
    assert.ok(existsSync(new URL(path, ROOT)), path);
    assert.ok(
      allowed.some((entry) => path === entry || path.startsWith(`${entry}/`)),
      path,
    );
  }
});

test("the image runs the Node that the package asks for, and is labelled with the package's version", () => {
  const { engines, version } = JSON.parse(readText("package.json")) as {
    engines: { node: string };
    version: string;
  };
  const args = instructions("ARG").map(([arg]) => arg);
  const major = engines.node.replace(/^>=/, "");
  assert.ok(args.includes(`NODE_IMAGE=docker.io/library/node:${major}-slim`), engines.node);
  assert.ok(args.includes(`VERSION=${version}`), version);
});

test("the image and the compose file have the same health check", () => {
  const [words = []] = instructions("HEALTHCHECK");
  const inImage = JSON.parse(words.slice(words.indexOf("CMD") + 1).join(" ")) as string[];
  const inCompose = readCompose("docker-compose.yml").services["etcd1"]?.healthcheck?.test;
  assert.deepEqual(inCompose, ["CMD", ...inImage]);
});

test("the image takes programs with their arguments as etcd's image does, and etcd's flags alone", async (t) => {
  assert.deepEqual(instructions("ENTRYPOINT"), [['["/opt/concord/entrypoint.sh"]']]);
  assert.deepEqual(instructions("CMD"), [['["etcd"]']]);
  const folder = tempDir(t, "programs");
  for (const name of ["etcd", "etcdctl"]) {
    writeFileSync(join(folder, name), `#!/bin/sh\necho ${name} "$@"\n`, { mode: 0o755 });
  }
  for (const [words, ran] of [
    [["etcd"], "etcd"],
    [[], "etcd"],
    [["--name", "a b"], "etcd --name a b"],
    [["-name=a"], "etcd -name=a"],
    [["etcd", "--name=a"], "etcd --name=a"],
    [["etcdctl", "get", "key"], "etcdctl get key"],
  ] as const) {
    const { stdout } = await run(ENTRY_POINT, words, { env: { PATH: `${folder}:/usr/bin:/bin` } });
    assert.equal(stdout, `${ran}\n`);
  }
});

/** A member that answers with `status`. */
const asked: string[] = [];
let status = 200;
const member = createServer((request, response) => {
  asked.push(request.url ?? "");
  response.writeHead(status).end(`status ${status}\n`);
}).listen(0, "0.0.0.0");
await once(member, "listening");
const { port } = member.address() as AddressInfo;
after(() => member.close());

function checkHealth(env: Record<string, string>): Promise<[code: number, text: string]> {
  return new Promise((resolve) => {
    execFile(process.execPath, [HEALTH], { env }, (error, stdout) => {
      resolve([Number(error?.code ?? 0), stdout.trimEnd()]);
    });
  });
}

test("a ready member is healthy; one that is not, or does not answer, is not", async () => {
  const env = { ETCD_LISTEN_CLIENT_URLS: `http://0.0.0.0:${port},http://10.0.0.1:1` };
  status = 200;
  assert.deepEqual(await checkHealth(env), [0, "status 200"]);
  status = 503;
  assert.deepEqual(await checkHealth(env), [1, "status 503"]);
  assert.deepEqual(asked, ["/readyz", "/readyz"]);
  const [code, text] = await checkHealth({ HEALTH_URL: "http://127.0.0.1:1/readyz" });
  assert.equal(code, 1);
  assert.match(text, /^http:\/\/127\.0\.0\.1:1\/readyz: connect ECONNREFUSED/);
});

test("the socket for metrics is asked first", async () => {
  status = 200;
  const env = {
    ETCD_LISTEN_METRICS_URLS: `http://127.0.0.1:${port}`,
    ETCD_LISTEN_CLIENT_URLS: "https://127.0.0.1:1",
  };
  assert.deepEqual(await checkHealth(env), [0, "status 200"]);
});
