/** Memory of members behind a full collection of each of their threads: what is left then is kept by something. */
import { appendFileSync } from "node:fs";
import type { MemberMemory } from "../../src/server/http/pprof.ts";
import type { Results } from "./results.ts";
import type { MemoryUse } from "./target.ts";

/** One member after such a collection. */
export interface CollectedMemory extends MemoryUse {
  readonly threads: MemberMemory["threads"];
}

/** Collects in the member at `address`; null when it has no profiles (`--enable-pprof`). */
export async function collectMemory(address: string): Promise<MemberMemory | null> {
  const response = await fetch(`http://${address}/debug/pprof/memory?gc=1`);
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`${response.url} answers ${response.status}: ${await response.text()}`);
  return (await response.json()) as MemberMemory;
}

/** A table of all collections, on disk as they come: a row a thread, and one a member for what belongs to no heap. */
export class CollectionRecord {
  static readonly EXTENSION = "memory.csv";
  readonly #path: string;

  constructor(results: Results) {
    results.write(
      CollectionRecord.EXTENSION,
      "s,member,thread,RSS,mapped,heap used,heap total,external,array buffers\n",
    );
    this.#path = results.path(CollectionRecord.EXTENSION);
  }

  add(seconds: number, member: string, { rss, mapped, threads }: CollectedMemory): void {
    const rows = Object.entries(threads).map(([thread, memory]) => {
      const { heapUsed, heapTotal, external, arrayBuffers } = memory;
      return [seconds, member, thread, "", "", heapUsed, heapTotal, external, arrayBuffers];
    });
    rows.unshift([seconds, member, "", rss, mapped, "", "", "", ""]);
    appendFileSync(this.#path, rows.map((cells) => `${cells.join(",")}\n`).join(""));
  }
}
