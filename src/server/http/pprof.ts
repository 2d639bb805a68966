/**
 * `/debug/pprof/` (`--enable-pprof`): CPU profiles and heap snapshots of every thread, in the formats that Chrome's and Node's
 * tools open, and how much memory each has. Go's own formats and its other profiles have no meaning here.
 *
 * Bounds: one profile or snapshot at a time, CPU profiles of {@link SECONDS_MAX} at most; a snapshot goes through a file,
 * never through memory. Loaded with the first request.
 */
import type { ReadStream } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";

import type { Logger } from "../../telemetry/logger.ts";
import type { Exchange } from "./health.ts";
import { allowGet, sendError, sendNotFound, sendText } from "./responses.ts";
import { packTar } from "./tar.ts";

/** Takes the profiles. */
export interface ThreadProfiles {
  /** Names of all threads, `main` first. */
  readonly threads: readonly string[];
  /**
   * Takes samples of the threads `names`, of all at the same time, for `durationMs` or until `signal` is aborted. Resolves with
   * the JSON of each thread's `.cpuprofile` file.
   */
  cpuProfiles(
    names: readonly string[],
    durationMs: number,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string>>;
  /** Writes the thread's heap snapshot to `path`, where nothing is yet. The thread stands still meanwhile. */
  heapSnapshot(name: string, path: string): Promise<void>;
  /** Memory now or, with `collect`, behind a full collection of each thread, one after the other. */
  memory(collect: boolean): Promise<MemberMemory>;
}

/** Memory of a member, bytes, by thread as `process.memoryUsage()` names it. */
export interface MemberMemory {
  readonly rss: number;
  readonly threads: Readonly<
    Record<string, { heapUsed: number; heapTotal: number; external: number; arrayBuffers: number }>
  >;
}

/** What the endpoints ask for. */
export interface PprofDeps {
  readonly logger: Logger;
  readonly profiles: ThreadProfiles;
}

const PREFIX = "/debug/pprof/";
/** As long as Go's. */
const SECONDS_DEFAULT = 30;
/** Samples are kept in memory until the end: about 150 KB a thread and second. */
const SECONDS_MAX = 60;
/** A client that takes longer to read its snapshot is given up, since nobody else gets a profile meanwhile. */
const SEND_MS_MAX = 5 * 60_000;

/** Answers everything below `/debug/pprof`. */
export class Pprof {
  readonly #deps: PprofDeps;
  #inUse = false;

  constructor(deps: PprofDeps) {
    this.#deps = deps;
  }

  async serve(exchange: Exchange): Promise<void> {
    const { request, response, url } = exchange;
    if (!allowGet(request, response)) return;
    switch (url.pathname.slice(PREFIX.length)) {
      case "":
        return this.#index(url, response);
      case "cmdline":
        return sendText(response, 200, process.argv.join("\0"));
      case "profile":
        return this.#alone(response, () => this.#profile(exchange));
      case "heap":
        return this.#alone(response, () => this.#heap(exchange));
      case "memory":
        return this.#alone(response, () => this.#memory(exchange));
      default:
        return sendNotFound(response);
    }
  }

  async #alone(response: ServerResponse, work: () => Promise<void>): Promise<void> {
    if (this.#inUse) {
      return sendError(response, 503, "another profile is being taken: one at a time");
    }
    this.#inUse = true;
    try {
      await work();
    } finally {
      this.#inUse = false;
    }
  }

  async #profile({ request, response, url }: Exchange): Promise<void> {
    const seconds = Number(url.searchParams.get("seconds") ?? SECONDS_DEFAULT);
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > SECONDS_MAX) {
      return sendError(response, 400, `seconds must be a whole number from 1 to ${SECONDS_MAX}`);
    }
    const { profiles, logger } = this.#deps;
    const thread = url.searchParams.get("thread");
    if (thread !== null && !this.#knows(thread, response)) return;
    const names = thread === null ? profiles.threads : [thread];
    logger.info("taking a CPU profile", { threads: names, seconds, remote: request.socket.remoteAddress });
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const taken = await profiles.cpuProfiles(names, seconds * 1000, gone.signal);
    if (gone.signal.aborted) return;
    if (thread !== null) {
      attach(response, `${thread}.cpuprofile`, "application/json");
      response.end(taken.get(thread));
      return;
    }
    const files = [...taken].map(([name, json]) => ({
      name: `${name}.cpuprofile`,
      bytes: Buffer.from(json),
    }));
    attach(response, "cpuprofiles.tar", "application/x-tar");
    for (const piece of packTar(files, Date.now())) response.write(piece);
    response.end();
  }

  async #heap({ request, response, url }: Exchange): Promise<void> {
    const thread = url.searchParams.get("thread") ?? "main";
    if (!this.#knows(thread, response)) return;
    this.#deps.logger.info("taking a heap snapshot", { thread, remote: request.socket.remoteAddress });
    const snapshot = await this.#writeSnapshot(thread);
    attach(response, `${thread}.heapsnapshot`, "application/json");
    // At the end of the file and not of the answer: whoever has the whole of it may ask for the next one at once.
    const read = new Promise<void>((resolve) => snapshot.once("end", resolve).once("close", resolve));
    // A client that goes away, or is too slow, has its connection closed; there is nobody to tell.
    pipeline(snapshot, response, { signal: AbortSignal.timeout(SEND_MS_MAX) }).catch(() => undefined);
    await read;
  }

  /** `gc=1` collects first, as Go's `heap?gc=1` does. */
  async #memory({ response, url }: Exchange): Promise<void> {
    const memory = await this.#deps.profiles.memory(url.searchParams.get("gc") === "1");
    sendText(response, 200, `${JSON.stringify(memory)}\n`, "application/json; charset=utf-8");
  }

  /** The snapshot, in a file that nobody else sees and that is gone once it is read. */
  async #writeSnapshot(thread: string): Promise<ReadStream> {
    const folder = await mkdtemp(join(tmpdir(), "concord-heap-"));
    try {
      const path = join(folder, `${thread}.heapsnapshot`);
      await this.#deps.profiles.heapSnapshot(thread, path);
      const file = await open(path);
      return file.createReadStream();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  #knows(thread: string, response: ServerResponse): boolean {
    const { threads } = this.#deps.profiles;
    if (threads.includes(thread)) return true;
    sendError(
      response,
      404,
      `there is no thread ${JSON.stringify(thread)}: choose one of ${threads.join(", ")}`,
    );
    return false;
  }

  #index(url: URL, response: ServerResponse): void {
    if (url.pathname !== PREFIX) {
      response.setHeader("Location", PREFIX);
      return sendText(response, 301, "");
    }
    const { threads } = this.#deps.profiles;
    const link = (path: string, what: string): string => `<li><a href="${path}">${path}</a>: ${what}</li>`;
    const items = [
      link(
        "profile?seconds=10",
        `CPU profiles of all threads, a tar archive (${SECONDS_MAX} seconds at most)`,
      ),
      ...threads.map((name) =>
        link(`profile?seconds=10&amp;thread=${name}`, `of thread ${name}, .cpuprofile`),
      ),
      ...threads.map((name) =>
        link(`heap?thread=${name}`, `heap snapshot of ${name}, which stands still meanwhile, .heapsnapshot`),
      ),
      link("memory", "memory of each thread now, JSON"),
      link("memory?gc=1", "the same behind a full collection of each thread, which stands still meanwhile"),
      link("cmdline", "the command line"),
    ];
    const body = `<html><head><title>/debug/pprof/</title></head><body><h1>/debug/pprof/</h1><ul>
${items.join("\n")}
</ul></body></html>
`;
    response.setHeader("X-Content-Type-Options", "nosniff");
    sendText(response, 200, body, "text/html; charset=utf-8");
  }
}

function attach(response: ServerResponse, fileName: string, contentType: string): void {
  response.setHeader("Content-Type", contentType);
  response.setHeader("Content-Disposition", `attachment; filename="${fileName}"`);
  response.setHeader("X-Content-Type-Options", "nosniff");
}
