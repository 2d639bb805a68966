/** What the appliers of one member share, and how they send what they have built. */
import { copyBytes } from "../base/copy-bytes.ts";
import type { Clock } from "../base/clock.ts";
import type { ApplyMeters } from "../base/thread-meters.ts";
import type { MvccStore } from "../mvcc/store.ts";
import type { ResponseHeader } from "../proto/kv-encode.ts";
import type { LeaseHooks, ResponseSink } from "./apply-interfaces.ts";
import { RESPONSE_INLINE_BYTES_MAX } from "./apply-limits.ts";
import { BufferJob } from "./buffer-job.ts";
import type { ByteBuffer } from "./byte-buffer.ts";
import type { RangeReader } from "./range-reader.ts";
import type { StreamScheduler } from "./stream-scheduler.ts";

/** Request id of an entry that nobody here waits for. */
export const NOT_ANSWERED = -1;

export interface ApplyContext {
  readonly store: MvccStore;
  readonly sink: ResponseSink;
  readonly header: ResponseHeader;
  readonly leases: LeaseHooks;
  readonly streams: StreamScheduler;
  readonly reader: RangeReader;
  /** Where answers are built that do not go straight into the ring; free between two requests. */
  readonly out: ByteBuffer;
  readonly meters: ApplyMeters;
  /** For metrics and pacing only: what is applied depends on no clock. */
  readonly clock: Clock;
}

/** Answers with a header alone, written straight into the sink. */
export function sendHeader(context: ApplyContext, requestId: number, revision: number): void {
  const { sink, header } = context;
  const length = header.fieldBytes(revision);
  const offset = sink.reserve(length);
  header.write(sink.bytes, offset, revision);
  sink.commit(requestId, length);
}

/** Answers with a header and the fields in `context.out` behind it; a long answer is streamed and takes the buffer along. */
export function sendOut(context: ApplyContext, requestId: number, revision: number): void {
  const { sink, header, out } = context;
  const headerBytes = header.fieldBytes(revision);
  const length = headerBytes + out.length;
  if (length > Math.min(RESPONSE_INLINE_BYTES_MAX, sink.reserveBytesMax)) {
    out.insert(0, headerBytes);
    header.write(out.bytes, 0, revision);
    context.streams.add(new BufferJob(requestId, out.detach(), length));
    return;
  }
  const offset = sink.reserve(length);
  const bodyAt = header.write(sink.bytes, offset, revision);
  copyBytes(out.bytes, 0, out.length, sink.bytes, bodyAt);
  sink.commit(requestId, length);
}
