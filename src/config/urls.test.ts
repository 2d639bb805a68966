import assert from "node:assert/strict";
import { test } from "node:test";

import { findUnbindable, parseUrl, parseUrls } from "./urls.ts";

test("the parts of a URL", () => {
  assert.deepEqual(parseUrl("http://127.0.0.1:2379"), {
    scheme: "http",
    address: "127.0.0.1:2379",
    host: "127.0.0.1",
    port: 2379,
    text: "http://127.0.0.1:2379",
  });
  assert.deepEqual(parseUrl("HTTPS://[::1]:1").host, "::1");
  assert.deepEqual(parseUrl("unix://localhost:1/tmp/x"), {
    scheme: "unix",
    address: "localhost:1/tmp/x",
    host: "",
    port: 0,
    text: "unix://localhost:1/tmp/x",
  });
});

test("lists are sorted, without repetitions and blanks", () => {
  const urls = parseUrls(" http://b:1 ,http://a:1,http://b:1");
  assert.deepEqual(
    urls.map((url) => url.text),
    ["http://a:1", "http://b:1"],
  );
});

// Each text was compared with etcd 3.6.6.
const REFUSED: Readonly<Record<string, string>> = {
  "": "URL scheme must be http, https, unix, or unixs: ",
  "127.0.0.1:1": 'parse "127.0.0.1:1": first path segment in URL cannot contain colon',
  "localhost:1": "URL scheme must be http, https, unix, or unixs: localhost:1",
  ":1": 'parse ":1": missing protocol scheme',
  "ftp://127.0.0.1:1": "URL scheme must be http, https, unix, or unixs: ftp://127.0.0.1:1",
  "http://": 'URL address does not have the form "host:port": http://',
  "http://127.0.0.1": 'URL address does not have the form "host:port": http://127.0.0.1',
  "http:/127.0.0.1:1": 'URL address does not have the form "host:port": http:/127.0.0.1:1',
  "http://::1:1": 'URL address does not have the form "host:port": http://::1:1',
  "http://127.0.0.1:1:2": 'URL address does not have the form "host:port": http://127.0.0.1:1:2',
  "http://127.0.0.1:1/x": "URL must not contain a path: http://127.0.0.1:1/x",
  "http://127.0.0.1:1/": "URL must not contain a path: http://127.0.0.1:1/",
  "http://127.0.0.1:abc": 'parse "http://127.0.0.1:abc": invalid port ":abc" after host',
  "http://127.0.0.1:%zz": 'parse "http://127.0.0.1:%zz": invalid port ":%zz" after host',
  "http://[::1:2": `parse "http://[::1:2": missing ']' in host`,
  "http://%41:1": 'parse "http://%41:1": invalid URL escape "%41"',
  "http://a b:1": 'parse "http://a b:1": invalid character " " in host name',
  "1http://a:1": 'parse "1http://a:1": first path segment in URL cannot contain colon',
};

for (const [text, message] of Object.entries(REFUSED)) {
  test(`refused: ${JSON.stringify(text)}`, () => assert.throws(() => parseUrl(text), { message }));
}

test("only addresses and localhost can be bound", () => {
  assert.equal(findUnbindable(parseUrls("http://localhost:1,http://0.0.0.0:1,unix://a/b")), undefined);
  for (const text of ["http://example.com:1", "http://:1", "http://01.2.3.4:1", "http://[fe80::1%25lo]:1"]) {
    assert.equal(findUnbindable(parseUrls(text)), `expected IP in URL for binding (${text})`);
  }
});
