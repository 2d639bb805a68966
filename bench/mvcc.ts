/**
 * The MVCC store's operations over many keys: `node bench/mvcc.ts [keys] [random|ascending]`. Nanoseconds an operation, of
 * which making the key costs the first figure; values of 256 bytes. CPU time of this thread, as other work may share the machine.
 */
import { createKeyMeta, createMvccStore } from "../src/mvcc/mvcc.ts";
import { measure, once } from "./cpu-time.ts";

const KEYS = Number(process.argv[2] ?? 1_000_000);
const RANDOM = process.argv[3] !== "ascending";
const KEY_BYTES = 36;
const SOME = 200_000;
const ALL = { key: new Uint8Array(1), end: new Uint8Array(1) };

const revisions: Uint8Array[] = [];
let keep = false;
const options = {
  valueBytesMax: 512 << 20,
  source: { getRevision: (main: number): Uint8Array | undefined => revisions[main] },
  sink: {
    putRevision(main: number, _sub: number, bytes: Uint8Array, start: number, end: number): void {
      if (keep) revisions[main] = bytes.slice(start, end);
    },
    putTombstone(): void {},
    deleteRevision(): void {},
  },
};
const store = createMvccStore(options);
const meta = createKeyMeta();
const key = new Uint8Array(KEY_BYTES);
const value = new Uint8Array(256).fill(0x76);
const PREFIX = new TextEncoder().encode("/registry/pods/default/");
key.set(PREFIX);

function setKey(number: number): void {
  let rest = RANDOM ? Math.imul(number, 0x9e37_79b1) >>> 0 : number;
  for (let at = KEY_BYTES - 1; at >= PREFIX.length; at--) {
    key[at] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

const scatter = (number: number): number => (number * 7919) % KEYS;

function put(number: number): void {
  setKey(number);
  store.beginTxn();
  store.put(key, 0, KEY_BYTES, value, 0, value.length, 0, 0);
  store.endTxn();
  if ((number & 255) === 0) store.committed(store.revision);
}

measure("(make the key)", KEYS, (index) => setKey(scatter(index)));
measure("put, new key", KEYS, put);
const { keyRecordBytes, keyArenaBytes, hashBytes, treeBytes } = store.stats();
console.log(
  `index: ${((keyRecordBytes + hashBytes + treeBytes) / KEYS).toFixed(1)} B a key + ${(keyArenaBytes / KEYS).toFixed(1)} B of key bytes; ` +
    `RSS ${(process.memoryUsage().rss / 1e6).toFixed(0)} MB`,
);
measure("lookup", KEYS, (index) => {
  setKey(scatter(index));
  store.lookup(key, 0, KEY_BYTES, 0, meta);
});
const target = new Uint8Array(1024);
measure("lookup and copy value", SOME, (index) => {
  setKey(scatter(index));
  store.lookup(key, 0, KEY_BYTES, 0, meta);
  store.copyKeyValue(meta, target, 0);
});
for (let round = 0; round < 2; round++) {
  const cursor = store.openCursor(ALL, 0);
  measure("cursor.next", KEYS, () => void cursor.next(meta));
  cursor.close();
}
measure("count of a range, current", SOME, (index) => {
  setKey(scatter(index));
  store.count({ key, end: ALL.end }, 0);
});
measure("count of all, 1,000 births ago", 1_000, () => void store.count(ALL, store.revision - 1_000));
measure("put, existing key", KEYS, (index) => put(scatter(index)));
store.committed(store.revision);
const old = store.openCursor(ALL, KEYS + 1);
measure("cursor.next, all keys changed since", KEYS, () => void old.next(meta));
old.close();
store.compact(store.revision);
once("compact one older revision a key", () => {
  while (!store.compactSlice(1_000));
});
once("compact again, nothing to do", () => {
  put(1);
  store.compact(store.revision);
  while (!store.compactSlice(1_000));
});
let chunks: Uint8Array[] = [];
once("checkpoint, as views", () => void (chunks = store.serialize()));
once("checkpoint, copied", () => void (chunks = chunks.map((chunk) => chunk.slice())));
once("load checkpoint", () => {
  const loaded = createMvccStore(options);
  loaded.loadCheckpoint(chunks, { revision: store.revision, scheduledCompactRevision: -1 });
  loaded.finishRestore({ scheduledCompactRevision: -1, finishedCompactRevision: -1 });
});
once("HashKV keep set", () => void store.hashKeepSet(0));
once("delete all", () => {
  store.beginTxn();
  store.deleteRange(ALL);
  store.endTxn();
});
store.compact(store.revision);
once("compact, keep the tombstones", () => {
  while (!store.compactSlice(1_000));
});
put(0);
store.compact(store.revision);
once("compact, remove every key", () => {
  while (!store.compactSlice(1_000));
});

const written = createMvccStore({ ...options, valueBytesMax: 0 });
keep = true;
for (let index = 0; index < KEYS; index++) {
  setKey(index);
  written.beginTxn();
  written.put(key, 0, KEY_BYTES, value, 0, value.length, 0, 0);
  written.committed(written.endTxn());
}
once("restore from records", () => {
  const restored = createMvccStore(options);
  for (let main = 2; main < KEYS + 2; main++) restored.restoreRevision(main, 0, false, revisions[main]);
  restored.finishRestore({ scheduledCompactRevision: -1, finishedCompactRevision: -1 });
});
