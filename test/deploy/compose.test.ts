/** docker-compose.yml and what it mounts fit together: names, ports, the members' configurations, files. Nothing is started. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { parse } from "yaml";

import { loadConfig, type Config } from "../../src/config/config.ts";
import { parseInitialCluster } from "../../src/config/initial-cluster.ts";
import { membersOf, overlay, readCompose, readText, ROOT, type Service } from "./compose-file.ts";

const file = readCompose("docker-compose.yml");
const members = membersOf(file);
const FOUNDERS = ["etcd1", "etcd2", "etcd3"];

/** The configuration that a member of this name is started with. */
async function configOf(name: string, service: Service | undefined): Promise<Config> {
  const outcome = await loadConfig({ argv: [], env: service?.environment ?? {}, readFile: readText });
  assert.equal(outcome.kind, "config", `${name} ${JSON.stringify(outcome)}`);
  const { config, log } = outcome;
  const unknown = log.filter(({ msg }) => msg.includes("unrecognized"));
  assert.deepEqual(unknown, [], name);
  return config;
}

/** `docker compose up` starts what has no profile. */
function startedByDefault(): string[] {
  return Object.entries(file.services).flatMap(([name, { profiles }]) =>
    profiles === undefined ? [name] : [],
  );
}

test("without a profile there are three members and their tools", () => {
  assert.deepEqual(startedByDefault(), [...FOUNDERS, "prometheus", "grafana", "jaeger"]);
  assert.deepEqual(
    members.map(([name]) => name),
    [...FOUNDERS, "etcd4", "single"],
  );
});

test("each member's variables are a configuration of its own name and addresses", async () => {
  for (const [name, service] of members) {
    const config = await configOf(name, service);
    assert.equal(config.name, name);
    assert.deepEqual(
      config.advertiseClientUrls.map(({ text }) => text),
      [`http://${name}:2379`],
    );
    const peerUrls = service.environment?.["ETCD_INITIAL_ADVERTISE_PEER_URLS"];
    assert.equal(peerUrls, `http://${name}:2380`);
    const cluster = parseInitialCluster(service.environment?.["ETCD_INITIAL_CLUSTER"] ?? "");
    assert.deepEqual([...cluster.keys()], name === "single" ? ["single"] : FOUNDERS, name);
    if (name !== "etcd4") assert.deepEqual(cluster.get(name), [peerUrls]);
    assert.match(config.dataDir, /^\/var\/lib\/etcd\//);
  }
});

test("a member that is added takes the cluster it joins from the variables that the manual names", async () => {
  const initial = `${file.services["etcd1"]?.environment?.["ETCD_INITIAL_CLUSTER"]},etcd4=http://etcd4:2380`;
  const env = { INITIAL_CLUSTER_STATE: "existing", INITIAL_CLUSTER: initial };
  const added = readCompose("docker-compose.yml", env).services;
  for (const name of ["etcd1", "etcd4"]) {
    const config = await configOf(name, added[name]);
    assert.equal(config.initialClusterState, "existing");
    assert.deepEqual([...parseInitialCluster(config.initialCluster).keys()], [...FOUNDERS, "etcd4"]);
  }
});

test("the override for TLS gives each founder HTTPS addresses and files of its own", async () => {
  const secured = overlay(file, readCompose("docker-compose.tls.yml")).services;
  for (const name of FOUNDERS) {
    const service = secured[name];
    const config = await configOf(name, service);
    const peerUrls = service?.environment?.["ETCD_INITIAL_ADVERTISE_PEER_URLS"];
    const clientUrls = config.advertiseClientUrls.map(({ text }) => text);
    assert.deepEqual([peerUrls, ...clientUrls], [`https://${name}:2380`, `https://${name}:2379`]);
    assert.deepEqual(parseInitialCluster(config.initialCluster).get(name), [`https://${name}:2380`]);
    for (const path of [config.certFile, config.keyFile, config.peerCertFile, config.peerKeyFile]) {
      assert.match(path, new RegExp(`^/etc/etcd/tls/${name}\\.(crt|key)$`));
    }
    assert.ok(service?.volumes?.some((volume) => volume.endsWith(":/etc/etcd/tls:ro")));
  }
});

test("members write to their volume and /tmp only, each to a volume of its own", () => {
  for (const [name, service] of members) {
    assert.equal(service.read_only, true);
    assert.deepEqual(service.tmpfs, ["/tmp:size=64m"]);
    assert.deepEqual(service.volumes, [`${name}:/var/lib/etcd`]);
  }
});

test("ports are on loopback, and no two services that run together share one", () => {
  const taken = new Map<string, string>();
  for (const [name, { ports }] of Object.entries(file.services)) {
    for (const port of ports ?? []) {
      assert.match(port, /^127\.0\.0\.1:\d+:\d+$/);
      const host = port.split(":")[1] ?? "";
      if (name === "single") assert.equal(host, "2379");
      else assert.equal(taken.get(host), undefined, `${name} and ${taken.get(host)}`);
      taken.set(host, name);
    }
  }
});

test("what is mounted exists, named volumes are declared", () => {
  for (const { volumes } of Object.values(file.services)) {
    for (const volume of volumes ?? []) {
      const [source = ""] = volume.split(":");
      if (source.startsWith("./")) assert.ok(existsSync(new URL(source, ROOT)), source);
      else assert.ok(source in (file.volumes ?? {}), source);
    }
  }
  const used = Object.values(file.services).flatMap(({ volumes }) => volumes ?? []);
  for (const name of Object.keys(file.volumes ?? {})) {
    assert.ok(
      used.some((volume) => volume.startsWith(`${name}:`)),
      `${name} is used by nobody`,
    );
  }
});

test("whom a service waits for is there without a profile", () => {
  for (const { depends_on: dependsOn } of Object.values(file.services)) {
    const names = Array.isArray(dependsOn) ? (dependsOn as string[]) : Object.keys(dependsOn ?? {});
    for (const name of names) assert.ok(startedByDefault().includes(name), name);
  }
});

test("Prometheus scrapes the three members, and reads rules that are mounted", () => {
  const { scrape_configs: jobs, rule_files: rules } = parse(readText("deploy/prometheus/prometheus.yml")) as {
    scrape_configs: { static_configs: { targets: string[] }[] }[];
    rule_files: string[];
  };
  const targets = jobs.flatMap((job) => job.static_configs.flatMap((group) => group.targets));
  assert.deepEqual(
    targets,
    FOUNDERS.map((name) => `${name}:2379`),
  );
  assert.deepEqual(rules, ["rules/*.yml"]);
  assert.ok(readdirSync(new URL("deploy/prometheus/rules", ROOT)).some((name) => name.endsWith(".yml")));
});

test("Grafana finds Prometheus, the dashboards' folder and its first page", () => {
  const provisioning = "deploy/grafana/provisioning/";
  const sources = parse(readText(`${provisioning}datasources/prometheus.yml`)) as {
    datasources: { url: string; uid: string }[];
  };
  assert.deepEqual(
    sources.datasources.map(({ url }) => url),
    ["http://prometheus:9090"],
  );
  const { providers } = parse(readText(`${provisioning}dashboards/concord.yml`)) as {
    providers: { options: { path: string } }[];
  };
  const grafana = file.services["grafana"];
  const folder = providers[0]?.options.path ?? "";
  assert.ok(grafana?.volumes?.includes(`./deploy/grafana/dashboards:${folder}:ro`));
  const home = grafana?.environment?.["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] ?? "";
  assert.ok(existsSync(new URL(home.replace(folder, "deploy/grafana/dashboards"), ROOT)), home);
  const known = new Set(sources.datasources.map(({ uid }) => uid));
  for (const name of readdirSync(new URL("deploy/grafana/dashboards", ROOT))) {
    for (const [, uid] of readText(`deploy/grafana/dashboards/${name}`).matchAll(/"uid": "(prom[^"]*)"/g)) {
      assert.ok(known.has(uid ?? ""), `${name} asks ${uid}`);
    }
  }
});

test("k6 runs a script that is mounted, against members that are there", () => {
  const k6 = file.services["k6"];
  const script = String(k6?.command).replace(/^run /, "");
  assert.ok(k6?.volumes?.includes(`./k6:${k6.working_dir}/k6:ro`));
  assert.ok(existsSync(new URL(script, ROOT)), script);
  assert.deepEqual(
    k6?.environment?.["ENDPOINTS"]?.split(","),
    FOUNDERS.map((name) => `${name}:2379`),
  );
});

test("the manual names every variable that the compose files take from outside", () => {
  const manual = readText("docs/OPERATIONS.md");
  const text = readText("docker-compose.yml") + readText("docker-compose.tls.yml");
  const names = new Set([...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name ?? ""));
  assert.ok(names.size > 0);
  for (const name of names) assert.ok(manual.includes(`\`${name}\``), name);
});
