import { test } from "node:test";
import { deepEqual } from "node:assert/strict";
import { type SrvRecord, findSrvMembers } from "./srv-discovery.ts";

const SEARCH = {
  domain: "example.com",
  serviceName: "",
  memberName: "m1",
  advertisedUrls: ["http://m1.example.com:2380"],
};

function resolver(records: Readonly<Record<string, readonly SrvRecord[]>>) {
  return {
    resolveSrv: (name: string) =>
      name in records ? Promise.resolve(records[name]) : Promise.reject(new Error(`no ${name}`)),
    resolveHost: (host: string) =>
      host === "gone.example.com"
        ? Promise.reject(new Error("no address"))
        : Promise.resolve(`ip of ${host}`),
  };
}

test("this member's record gets its name, the others get numbers", async () => {
  const records = {
    "_etcd-server._tcp.example.com": [
      { target: "m0.example.com.", port: 2380 },
      { target: "m1.example.com.", port: 2380 },
      { target: "m1.example.com", port: 9 },
    ],
  };
  deepEqual(await findSrvMembers(SEARCH, resolver(records)), [
    {
      scheme: "https",
      service: "etcd-server-ssl",
      members: [],
      problem: "error querying DNS SRV records for _etcd-server-ssl no _etcd-server-ssl._tcp.example.com",
    },
    {
      scheme: "http",
      service: "etcd-server",
      members: ["0=http://m0.example.com:2380", "m1=http://m1.example.com:2380", "1=http://m1.example.com:9"],
    },
  ]);
});

test("a service name is a suffix; TLS comes first", async () => {
  const records = {
    "_etcd-server-ssl-x._tcp.example.com": [{ target: "a.example.com", port: 1 }],
    "_etcd-server-x._tcp.example.com": [{ target: "b.example.com", port: 2 }],
  };
  const found = await findSrvMembers({ ...SEARCH, serviceName: "x" }, resolver(records));
  deepEqual(
    found.map(({ members }) => members),
    [["0=https://a.example.com:1"], ["0=http://b.example.com:2"]],
  );
});

test("a record with this member's address under the other scheme is refused, one without address left out", async () => {
  const records = {
    "_etcd-server-ssl._tcp.example.com": [{ target: "m1.example.com", port: 2380 }],
    "_etcd-server._tcp.example.com": [
      { target: "gone.example.com", port: 1 },
      { target: "m1.example.com", port: 2380 },
    ],
  };
  const [tls, plain] = await findSrvMembers(SEARCH, resolver(records));
  deepEqual(
    tls.problem,
    "error querying DNS SRV records for _etcd-server-ssl bootstrap at https://m1.example.com:2380 from DNS for " +
      "etcd-server-ssl has scheme mismatch with expected peer http://m1.example.com:2380",
  );
  deepEqual(plain.members, ["m1=http://m1.example.com:2380"]);
});
