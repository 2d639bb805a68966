/** The W3C `traceparent` header: how a client says that its call is part of a trace. */

import { SPAN_ID_BYTES, TRACE_CONTEXT_BYTES, TRACE_ID_BYTES } from "../ring/trace.ts";

/** A caller's trace and span. */
export interface RemoteParent {
  /** Trace id and span id, {@link TRACE_CONTEXT_BYTES}. */
  readonly context: Uint8Array;
  readonly sampled: boolean;
}

/** `version "-" trace-id "-" parent-id "-" flags`; a version after 00 may have more behind it. */
const PATTERN = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const INVALID_VERSION = "ff";
const SAMPLED = 1;

/** Where the lowest digit of the flags stands. */
const FLAG_AT = 54;
const CODE_OF_9 = 0x39;

/** Whether a header, if it is valid, says that its trace is sampled. A glance, without the rest. */
export function saysSampled(text: string): boolean {
  const code = text.charCodeAt(FLAG_AT);
  // Of the digits 0 to 9 the code is odd where the digit is; of a to f it is the other way round.
  return (code & 1) === (code <= CODE_OF_9 ? 1 : 0);
}

/** Reads the header, or returns null if it is none: then a new trace begins (Trace Context, section 4.3). */
export function parseTraceparent(text: string): RemoteParent | null {
  const match = PATTERN.exec(text);
  if (match === null) return null;
  const [, version, traceId, parentId, flags, rest] = match;
  if (version === INVALID_VERSION || (version === "00" && rest !== undefined)) return null;
  if (/^0*$/.test(traceId) || /^0*$/.test(parentId)) return null;
  const context = new Uint8Array(TRACE_CONTEXT_BYTES);
  context.set(Buffer.from(traceId, "hex"));
  context.set(Buffer.from(parentId, "hex"), TRACE_ID_BYTES);
  return { context, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

/** The trace id of a context in hex. */
export function traceIdText(context: Uint8Array): string {
  return Buffer.from(context.subarray(0, TRACE_ID_BYTES)).toString("hex");
}

/** The span id of a context in hex. */
export function spanIdText(context: Uint8Array): string {
  return Buffer.from(context.subarray(TRACE_ID_BYTES, TRACE_ID_BYTES + SPAN_ID_BYTES)).toString("hex");
}
