/**
 * Calls to etcd's API for the scripts beside this folder. Keys and values are bytes, so k6 has them as base64; numbers of 64 bits
 * come as decimal strings. What a script checks of an answer goes through {@link verify}, so that a failure says what was wrong.
 */
import { check } from "k6";
import encoding from "k6/encoding";
import exec from "k6/execution";
import { Counter, Rate } from "k6/metrics";
import { Client, StatusOK, Stream } from "k6/net/grpc";
import { settings } from "./settings.js";

/** Puts of one transaction; etcd's default for --max-txn-ops is 128. */
const OPERATIONS_A_TXN = 100;
/** Of each VU: a fault that lasts must not fill the terminal. */
const MESSAGES_MAX = 5;

const calls = new Counter("etcd_calls");
const errors = new Rate("etcd_errors");
const client = new Client();
client.load(["../proto"], "rpc.proto");

let endpoint;
let messages = 0;
/** Newest revision that this VU was told of. */
let revision = 0;

export const bytes = (text) => encoding.b64encode(text);
export const text = (base64) => encoding.b64decode(base64, "std", "s");

/** Connects this VU to its endpoint, once: VUs are spread over ENDPOINTS. */
export function connect() {
  if (endpoint !== undefined) return;
  const { endpoints } = settings;
  const next = endpoints[Math.max(0, exec.vu.idInTest - 1) % endpoints.length];
  connectTo(next);
  endpoint = next;
}

function connectTo(address) {
  try {
    client.connect(address, { plaintext: true, timeout: "5s" });
  } catch (error) {
    exec.test.abort(`no member answers at ${address}: ${String(error)}`);
  }
}

/** For `setup`: refuses to begin unless each endpoint answers. Leaves this VU connected to the last one. Returns its revision. */
export function prepareCluster() {
  let header;
  for (const address of settings.endpoints) {
    connectTo(address);
    const { status, message, error } = client.invoke(
      "etcdserverpb.Maintenance/Status",
      {},
      { timeout: "5s" },
    );
    if (status !== StatusOK) exec.test.abort(`${address} does not serve: ${error.message}`);
    console.info(
      `${address}: version ${message.version}, leader ${message.leader === message.header.memberId}`,
    );
    header = message.header;
    endpoint = address;
  }
  return Number(header.revision);
}

/**
 * One call. Its time counts for the operation `op`. Returns the answer's message, or null after an error, which the threshold of
 * etcd_errors judges.
 */
export function call(op, method, request) {
  connect();
  const params = { tags: { op }, timeout: settings.TIMEOUT };
  const { status, message, error } = client.invoke(`etcdserverpb.${method}`, request, params);
  const failed = status !== StatusOK;
  calls.add(1, { op });
  errors.add(failed, { op });
  if (!failed) return message;
  complain(`${op} at ${endpoint}: ${status} ${error.message}`);
  return null;
}

/** A call in which both sides stream, on this VU's connection. */
export function openStream(method) {
  connect();
  return new Stream(client, `etcdserverpb.${method}`, {});
}

/** Ends this VU's connection; the next call makes a new one. */
export function disconnect() {
  client.close();
  endpoint = undefined;
}

/** Counts a check, and says what was wrong when it fails. */
export function verify(name, isRight, detail) {
  check(null, { [name]: () => isRight });
  if (!isRight) complain(`${name}: ${detail()}`);
  return isRight;
}

function complain(message) {
  if (++messages <= MESSAGES_MAX) console.error(message);
}

/** Revision of an answer. Checks that it is not older than what this VU has seen, and newer if the call has written. */
export function revisionOf(op, message, { wrote }) {
  const now = Number(message.header.revision);
  const isRight = wrote ? now > revision : now >= revision;
  verify(
    `${op}: the revision ${wrote ? "grows" : "does not go back"}`,
    isRight,
    () => `${now} after ${revision}`,
  );
  revision = Math.max(revision, now);
  return now;
}

/** First key behind all that begin with `prefix` (ASCII). */
export function prefixEnd(prefix) {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/** The range of all keys that begin with `prefix`. */
export function prefixRange(prefix) {
  return { key: bytes(prefix), range_end: bytes(prefixEnd(prefix)) };
}

/** A key with a number, of equal length for all. */
export function keyName(prefix, index) {
  return prefix + String(index).padStart(9, "0");
}

/** `start`, filled up to VALUE_SIZE. */
export function valueOf(start) {
  return start.padEnd(settings.VALUE_SIZE, ".");
}

export const isEqual = (key, target, field, value) => ({ key, result: "EQUAL", target, [field]: value });

/** Reads all keys below a prefix in pages, at the revision of the first one. Null after an error. */
export function listAll(op, prefix, pageKeys) {
  const { key: first, range_end } = prefixRange(prefix);
  const kvs = [];
  let key = first;
  let at = 0;
  for (;;) {
    const page = call(op, "KV/Range", { key, range_end, limit: pageKeys, revision: at });
    if (page === null) return null;
    const now = revisionOf(op, page, { wrote: false });
    if (at === 0) at = now;
    const left = Number(page.count);
    verify(
      `${op}: a page is as long as it says`,
      page.kvs.length === Math.min(left, pageKeys),
      () => `${page.kvs.length} of ${left} keys`,
    );
    verify(
      `${op}: more is told until the end`,
      page.more === left > pageKeys,
      () => `more ${page.more}, ${left} keys`,
    );
    for (const kv of page.kvs) kvs.push(kv);
    if (!page.more || page.kvs.length === 0) return { revision: at, kvs };
    key = bytes(`${text(page.kvs[page.kvs.length - 1].key)}\0`);
  }
}

/** Puts KEYS keys below a prefix, many at once. Returns the revision of the last. */
export function fill(prefix, value) {
  let last = 0;
  for (let from = 0; from < settings.KEYS; from += OPERATIONS_A_TXN) {
    const count = Math.min(OPERATIONS_A_TXN, settings.KEYS - from);
    const success = Array.from({ length: count }, (_, i) => {
      const key = keyName(prefix, from + i);
      return { request_put: { key: bytes(key), value: bytes(value(key)) } };
    });
    const message = call("fill", "KV/Txn", { success });
    if (message === null) exec.test.abort("the keys could not be written");
    last = Number(message.header.revision);
  }
  return last;
}

/** Deletes everything below PREFIX. Returns the revision. */
export function deleteAll() {
  const message = call("clean", "KV/DeleteRange", prefixRange(settings.PREFIX));
  if (message === null) exec.test.abort(`the keys below ${settings.PREFIX} could not be deleted`);
  return Number(message.header.revision);
}
