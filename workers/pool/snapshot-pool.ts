/**
 * The pool's threads for snapshot files, as the main thread sees them. Pool and threads are made with the first job (loading the
 * library would delay every start), and the threads end when idle.
 */
import type { Piscina } from "piscina";
import type { SnapshotContents, SnapshotExpectation } from "../../src/snapshot/read-snapshot.ts";
import type { SnapshotDescription } from "../../src/snapshot/snapshot.ts";
import type { DatabaseCopy } from "../../src/storage/copy-database.ts";
import type { BuildJob, CopyJob, DigestJob, VerifyJob, WriteJob } from "./snapshot-file.ts";
import { SNAPSHOT_JOB_URL } from "../urls.ts";

/** Each job keeps a core busy, and disk and page cache; more at once would only slow the member down. */
const THREADS_MAX = 1;
const IDLE_MS = 10_000;

export class SnapshotPool {
  /** One a job that runs or waits. */
  readonly #flags = new Set<Int32Array>();
  readonly #running = new Set<Promise<unknown>>();
  #pool: Promise<Piscina> | null = null;

  /** Writes what storage has committed to the database at `databasePath` to a new file at `path`. Rejects with the path and the cause. */
  write(databasePath: string, path: string, signal?: AbortSignal): Promise<SnapshotDescription> {
    return this.#run<SnapshotDescription>(
      "write",
      (cancelled): WriteJob => ({ databasePath, path, cancelled }),
      signal,
    );
  }

  /** Copies what storage has committed to a new database `target`, without free pages. Rejects with the path and the cause. */
  copy(databasePath: string, target: string): Promise<DatabaseCopy> {
    return this.#run<DatabaseCopy>("copy", (cancelled): CopyJob => ({ databasePath, target, cancelled }));
  }

  /** SHA-256 of the file at `path`. Rejects with the path and the cause. */
  digest(path: string, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#run<Uint8Array>("digest", (cancelled): DigestJob => ({ path, cancelled }), signal);
  }

  /** Makes the database `target` of the file at `path`, durably. Rejects with the path and the cause; `target` is gone then. */
  build(path: string, target: string, expected: SnapshotExpectation): Promise<SnapshotContents> {
    return this.#run<SnapshotContents>("build", (cancelled): BuildJob => ({
      path,
      target,
      expected,
      cancelled,
    }));
  }

  /** Checks all of the file at `path`. Rejects with the path and the finding. */
  verify(path: string, expected: SnapshotExpectation): Promise<SnapshotContents> {
    return this.#run<SnapshotContents>("verify", (): VerifyJob => ({ path, expected }));
  }

  /** Has all jobs that can be cancelled end, with an error, and waits for them. New ones may follow. */
  async cancelAll(): Promise<void> {
    for (const cancelled of this.#flags) Atomics.store(cancelled, 0, 1);
    await Promise.allSettled(this.#running);
  }

  /** Ends all jobs and threads. A thread must not end inside a transaction of LMDB, so the jobs end first. */
  async close(): Promise<void> {
    await this.cancelAll();
    const pool = this.#pool;
    this.#pool = null;
    await (await pool)?.destroy();
  }

  #run<T>(name: string, createJob: (cancelled: Int32Array) => object, signal?: AbortSignal): Promise<T> {
    this.#pool ??= createPool();
    const cancelled = new Int32Array(new SharedArrayBuffer(4));
    const cancel = (): void => void Atomics.store(cancelled, 0, 1);
    if (signal?.aborted) cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    const result = this.#pool.then((pool) => pool.run(createJob(cancelled), { name }) as Promise<T>);
    this.#flags.add(cancelled);
    this.#running.add(result);
    const ended = (): void => {
      this.#flags.delete(cancelled);
      this.#running.delete(result);
      signal?.removeEventListener("abort", cancel);
    };
    result.then(ended, ended);
    return result;
  }
}

async function createPool(): Promise<Piscina> {
  const library = await import("piscina");
  return new library.Piscina({
    filename: SNAPSHOT_JOB_URL.href,
    minThreads: 0,
    maxThreads: THREADS_MAX,
    idleTimeout: IDLE_MS,
  });
}
