/**
 * A copy of all keys below a prefix, kept up by a watch as controllers do it: from a revision on, each change once and in order. The
 * `version` of a key counts its writes since it was created, so that an event which is missing, doubled or out of order shows at once.
 */
import { Counter, Trend } from "k6/metrics";
import { setTimeout } from "k6/timers";
import { disconnect, listAll, openStream, prefixRange, text, verify } from "./etcd.js";

const PAGE_KEYS = 500;
/** Time for the last events after the load, and between two questions for how far the watch is. */
const CATCH_UP_MS = 30_000;
const PROGRESS_MS = 100;
const STAMP_DIGITS = 13;

/** Rows of the summary: the time from before a write was sent until its event came, and how many came. */
export const WATCH_TRENDS = { event: "etcd_watch_delay" };

const delay = new Trend("etcd_watch_delay", true);
const resumed = new Counter("etcd_watch_resumed");

/** What a value begins with, so that a mirror can say how long the event took; 13 digits. */
export const stamp = () => String(Date.now());

export class Mirror {
  #prefix;
  /** By key in base64. Deleted keys stay: with their revision, and without a version. */
  #keys = new Map();
  /** Newest revision that the watch has told completely, and of an event. */
  #revision;
  #stream;
  /** The list that the copy is compared with in the end, and until when the watch must have come as far. */
  #listed = null;
  #deadline = 0;
  #stampAt;

  /** `stampAt` is where in a value its stamp stands. */
  constructor(prefix, { stampAt = 0 } = {}) {
    this.#prefix = prefix;
    this.#stampAt = stampAt;
  }

  /** Begins with a list of what is there, and watches from the revision behind it. After `seconds` it compares itself with the store. */
  follow(seconds) {
    const listed = listAll("list", this.#prefix, PAGE_KEYS);
    if (listed === null) return disconnect();
    for (const kv of listed.kvs)
      this.#keys.set(kv.key, { revision: Number(kv.modRevision), version: Number(kv.version) });
    this.#revision = listed.revision;
    this.#open();
    setTimeout(() => this.#finish(), seconds * 1000);
  }

  #open() {
    const stream = openStream("Watch/Watch");
    this.#stream = stream;
    stream.on("data", (response) => this.#take(response));
    stream.on("error", (error) => this.#lost(stream, error));
    const start_revision = this.#revision + 1;
    stream.write({ create_request: { ...prefixRange(this.#prefix), start_revision } });
  }

  /** A stream that breaks is opened again behind the last revision. */
  #lost(stream, error) {
    if (this.#stream !== stream) return;
    console.warn(`a watch goes on behind revision ${this.#revision}: ${error.message}`);
    resumed.add(1);
    setTimeout(() => this.#stream === stream && this.#open(), PROGRESS_MS);
  }

  #take(response) {
    if (response.canceled)
      return verify(
        "watch: it is not cancelled",
        false,
        () => `${response.cancelReason} ${response.compactRevision}`,
      );
    let last = this.#revision;
    for (const { type, kv } of response.events) {
      const revision = Number(kv.modRevision);
      // Keys of one transaction share a revision, and come in one response.
      verify(
        "watch: events come in the order of revisions",
        revision >= last && revision > this.#revision,
        () => `${revision} after ${last}, complete to ${this.#revision}`,
      );
      last = revision;
      this.#apply(kv, revision, type === "DELETE");
    }
    // A response without events says that everything up to its revision has been told.
    this.#revision = Math.max(
      last,
      response.created || response.events.length > 0 ? 0 : Number(response.header.revision),
    );
    if (this.#listed !== null && this.#revision >= this.#listed.revision) this.#compare(this.#listed);
  }

  #apply(kv, revision, isDelete) {
    const before = this.#keys.get(kv.key)?.version ?? 0;
    if (isDelete)
      verify("watch: what is deleted was there", before > 0, () => `${text(kv.key)} at ${revision}`);
    else {
      const version = Number(kv.version);
      verify(
        "watch: no event of a key is missing",
        version === before + 1,
        () => `${text(kv.key)} at ${revision}: version ${version} after ${before}`,
      );
      // In base64 three bytes are four characters.
      const start = Math.floor(this.#stampAt / 3) * 4;
      const piece = text(kv.value.slice(start, start + 24)).slice(this.#stampAt % 3);
      delay.add(Date.now() - Number(piece.slice(0, STAMP_DIGITS)));
    }
    this.#keys.set(kv.key, { revision, version: isDelete ? 0 : Number(kv.version) });
  }

  /** Lists once more, and waits until the watch is as far. */
  #finish() {
    this.#listed = listAll("list", this.#prefix, PAGE_KEYS);
    if (this.#listed === null) return this.#end();
    this.#deadline = Date.now() + CATCH_UP_MS;
    this.#askProgress();
  }

  #askProgress() {
    if (this.#stream === null) return;
    if (Date.now() > this.#deadline) {
      verify(
        "watch: it catches up",
        false,
        () => `at ${this.#revision}, and the store at ${this.#listed.revision}`,
      );
      return this.#end();
    }
    this.#stream.write({ progress_request: {} });
    setTimeout(() => this.#askProgress(), PROGRESS_MS);
  }

  /** The copy must hold what the list shows; where it differs, it must be newer. */
  #compare({ kvs, revision: at }) {
    this.#listed = null;
    const listed = new Set();
    for (const kv of kvs) {
      listed.add(kv.key);
      const mine = this.#keys.get(kv.key)?.revision ?? 0;
      const same = mine === Number(kv.modRevision) || mine > at;
      verify(
        "watch: the copy is as the store",
        same,
        () => `${text(kv.key)}: ${mine} and not ${kv.modRevision}`,
      );
    }
    for (const [key, { revision, version }] of this.#keys) {
      if (version === 0 || listed.has(key)) continue;
      verify(
        "watch: the copy is as the store",
        revision > at,
        () => `${text(key)} of ${revision} is gone at ${at}`,
      );
    }
    this.#end();
  }

  #end() {
    this.#stream = null;
    // Not by the stream's own end: a member goes on telling a client that only says it asks for nothing more.
    disconnect();
  }
}
