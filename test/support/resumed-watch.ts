/** A watch that goes on where it was after each loss of its member, as clients do, and holds against every breach of its order. */
import { Event_EventType } from "../../src/proto/gen/kv_pb.ts";
import { Watch, type WatchResponse } from "../../src/proto/gen/rpc_pb.ts";
import { EtcdClient } from "./etcd-client.ts";
import { waitFor } from "./wait.ts";

// Between two tries while no member is there.
const PAUSE_MS = 50;

/** An event as a watch told it. */
export interface SeenEvent {
  readonly revision: number;
  readonly isDelete: boolean;
  readonly key: string;
  readonly value: string;
  /** `performance.now()` when it came. */
  readonly atMs: number;
}

export interface ResumedWatchOptions {
  /** `host:port` of the members, asked anew for each try. */
  readonly addresses: () => readonly string[];
  /** Which of them comes first. */
  readonly first: number;
  /** Everything that begins with it. */
  readonly prefix: string;
  /** First revision; what was there before is not told. */
  readonly from: number;
}

export class ResumedWatch {
  readonly events: SeenEvent[] = [];
  /** Breaches of order; empty if all is well. */
  readonly faults: string[] = [];
  /** How often it was opened. */
  opened = 0;
  /** Newest revision that was told completely. */
  #revision: number;
  readonly #options: ResumedWatchOptions;
  readonly #done: Promise<void>;
  #stopping = false;
  #cancel: () => void = () => undefined;

  constructor(options: ResumedWatchOptions) {
    this.#options = options;
    this.#revision = options.from - 1;
    this.#done = this.#run();
  }

  /** Resolves once everything up to `revision`, which must have an event, has been told. */
  async reaches(revision: number, boundMs: number): Promise<void> {
    await waitFor(`the watch to reach revision ${revision}`, boundMs, () =>
      this.#revision >= revision ? true : undefined,
    );
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#cancel();
    await this.#done;
  }

  async #run(): Promise<void> {
    for (let tries = this.#options.first; !this.#stopping; tries++) {
      const addresses = this.#options.addresses();
      const address = addresses[tries % addresses.length];
      if (address !== undefined) await this.#follow(address);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** One stream, until it ends. */
  async #follow(address: string): Promise<void> {
    const client = new EtcdClient(address);
    const stream = client.stream(Watch.method.watch, (response) => this.#take(response));
    this.#cancel = () => stream.cancel();
    const { prefix } = this.#options;
    const key = Buffer.from(prefix);
    const rangeEnd = Buffer.from(prefix);
    rangeEnd[rangeEnd.length - 1]++;
    const startRevision = BigInt(this.#revision + 1);
    stream.send({ requestUnion: { case: "createRequest", value: { key, rangeEnd, startRevision } } });
    await stream.ended;
    client.close();
  }

  #take(response: WatchResponse): void {
    if (response.canceled) this.faults.push(`ended: ${response.cancelReason} ${response.compactRevision}`);
    if (response.created) this.opened++;
    let last = this.#revision;
    for (const { type, kv } of response.events) {
      const revision = Number(kv?.modRevision);
      // Equal is right only within one response.
      if (revision < last || revision <= this.#revision)
        this.faults.push(`revision ${revision} after ${last}, complete to ${this.#revision}`);
      last = revision;
      this.events.push({
        revision,
        isDelete: type === Event_EventType.DELETE,
        key: Buffer.from(kv?.key ?? []).toString(),
        value: Buffer.from(kv?.value ?? []).toString(),
        atMs: performance.now(),
      });
    }
    this.#revision = last;
  }
}
