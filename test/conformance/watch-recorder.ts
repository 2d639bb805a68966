/**
 * One watch stream of one member, written down so that two members can be compared: for each watch its creation, its events
 * grouped by revision, and its end. How many revisions come in one response is left out: that depends on timing in any etcd.
 */
import {
  Watch,
  type WatchCreateRequest,
  type WatchRequestSchema,
  type WatchResponse,
  type WatchResponseSchema,
} from "../../src/proto/gen/rpc_pb.ts";
import type { Event } from "../../src/proto/gen/kv_pb.ts";
import type { BidiStream, EtcdClient } from "../support/etcd-client.ts";
import { dump } from "./canonical.ts";

// etcd's default --max-request-bytes and what it adds for gRPC: 2 MiB, and the header of the last part.
const FRAGMENT_BYTES_MAX = 1.5 * 1024 * 1024 + 512 * 1024 + 1024;

/** What has come on one watch id, and how far it is. */
interface WatchRecord {
  /** What came since the last comparison. */
  items: string[];
  /** Revision of the newest event whose response is complete. */
  revision: number;
  /** The last response said that the rest of it follows. */
  isOpen: boolean;
  canceled: boolean;
}

/** A stream and what came on it. */
export class WatchRecorder {
  /** Breaches of what a watch promises, seen without a second member. */
  readonly faults: string[] = [];
  /** Every event in the order it came. */
  readonly events: Event[] = [];
  /** Revisions of answers to progress requests. */
  readonly progress: number[] = [];
  readonly #stream: BidiStream<typeof WatchRequestSchema, typeof WatchResponseSchema>;
  readonly #watches = new Map<bigint, WatchRecord>();
  readonly #waiting: Array<(created: WatchResponse) => void> = [];

  constructor(client: EtcdClient) {
    this.#stream = client.stream(Watch.method.watch, (response, size) => this.#record(response, size));
  }

  /** Asks for a watch; the response that says what became of it. */
  async create(request: WatchCreateRequest): Promise<WatchResponse> {
    const created = new Promise<WatchResponse>((resolve) => this.#waiting.push(resolve));
    this.#stream.send({ requestUnion: { case: "createRequest", value: request } });
    return created;
  }

  cancel(watchId: bigint): void {
    this.#stream.send({ requestUnion: { case: "cancelRequest", value: { watchId } } });
  }

  requestProgress(): void {
    this.#stream.send({ requestUnion: { case: "progressRequest", value: {} } });
  }

  /** Revision of the newest complete event of a watch. */
  revisionOf(watchId: bigint): number {
    return this.#watches.get(watchId)?.revision ?? 0;
  }

  isCanceled(watchId: bigint): boolean {
    return this.#watches.get(watchId)?.canceled ?? false;
  }

  /** All that came since the last call, by watch. */
  take(): string {
    const lines: string[] = [];
    for (const [id, record] of [...this.#watches].sort(([a], [b]) => (a < b ? -1 : 1))) {
      for (const item of record.items) lines.push(`watch ${id}: ${item}`);
      record.items = [];
    }
    return [...lines, ...this.faults].join("\n");
  }

  /** Ends the stream. */
  async close(): Promise<void> {
    this.#stream.cancel();
    await this.#stream.ended;
  }

  #record(response: WatchResponse, size: number): void {
    const isProgress = !response.created && !response.canceled && response.events.length === 0;
    if (isProgress) {
      if (response.watchId !== -1n) this.faults.push(`progress of watch ${response.watchId}`);
      this.progress.push(Number(response.header?.revision));
      return;
    }
    const record = this.#recordOf(response);
    this.#recordEvents(record, response, size);
    if (!response.created && !response.canceled) return;
    record.items.push(dump(response));
    record.canceled = response.canceled;
    if (response.created) this.#waiting.shift()?.(response);
  }

  #recordOf(response: WatchResponse): WatchRecord {
    const { watchId } = response;
    let record = this.#watches.get(watchId);
    if (record === undefined || response.created) {
      // A refused duplicate (id -1) leaves what is known of others alone; a new watch on a used id starts afresh.
      const items = record?.items ?? [];
      this.#watches.set(watchId, (record = { items, revision: 0, isOpen: false, canceled: false }));
    }
    return record;
  }

  #recordEvents(record: WatchRecord, response: WatchResponse, size: number): void {
    if (response.events.length === 0) return;
    const fault = (text: string) => this.faults.push(`watch ${response.watchId}: ${text}`);
    if (record.canceled) fault("events after its end");
    let last = record.revision;
    for (const event of response.events) {
      const revision = Number(event.kv?.modRevision);
      if (revision < last || (revision === record.revision && !record.isOpen))
        fault(`revision ${revision} after ${last}`);
      last = revision;
      record.items.push(dump(event));
      this.events.push(event);
    }
    if (Number(response.header?.revision) < last) fault(`header is behind event ${last}`);
    if (response.fragment && response.events.length > 1 && size > FRAGMENT_BYTES_MAX)
      fault(`a part of ${size} bytes and ${response.events.length} events`);
    record.isOpen = response.fragment;
    // With a part of a revision, the revision is not complete yet.
    record.revision = response.fragment ? Math.max(record.revision, last - 1) : last;
    if (response.fragment && record.revision === last) record.isOpen = true;
  }
}
