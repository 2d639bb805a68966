/** `/leases` and `/leases/internal`: other members have this one, the leader, renew a lease or say how long it lives. */

import { ERRORS, ErrorId } from "../base/errors.ts";
import {
  encodeCheckpoints,
  ID_AND_TTL_BYTES_MAX,
  LeaseView,
  visitCheckpoints,
  writeIdAndTtl,
} from "../lease/lease-codec.ts";
import { unwrap } from "../peer/peer-lease.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { CallFailure } from "./internal-call.ts";
import { isLeaseNotFound, isNotPrimary, type LeasePrimary } from "./lease-primary.ts";
import { type PeerAnswer, PeerContentType, type PeerRequestHandler, textAnswer } from "./peer-requests.ts";

const HTTP_BAD_REQUEST = 400;
const HTTP_NOT_FOUND = 404;
const HTTP_REQUEST_TIMEOUT = 408;
const HTTP_INTERNAL_ERROR = 500;
/** How long a request may wait for what is committed to be applied; etcd's number. */
const APPLY_WAIT_MS = 1000;
/** How long a batch waits for the last of its renewals. */
const BATCH_WAIT_MS = 200;
const NOT_FOUND_TEXT = "lease not found";
const NOT_APPLIED_TEXT = "waiting for node to catch up its applied index has timed out";
const UNMARSHAL_TEXT = "error unmarshalling request";

/** Answers a LeaseKeepAliveRequest with a LeaseKeepAliveResponse without header. */
export function leaseKeepAliveHandler(primary: LeasePrimary): PeerRequestHandler {
  const view = new LeaseView();
  return async (body) => {
    if (!view.decodeId(body, 0, body.length)) return textAnswer(HTTP_BAD_REQUEST, UNMARSHAL_TEXT);
    const { low, high } = view;
    try {
      const seconds = await within(primary.renewHere(low, high), APPLY_WAIT_MS);
      if (seconds === TIMED_OUT) return textAnswer(HTTP_REQUEST_TIMEOUT, NOT_APPLIED_TEXT);
      const answer = new Uint8Array(ID_AND_TTL_BYTES_MAX);
      return protobuf(answer.subarray(0, writeIdAndTtl(answer, 0, low, high, seconds)));
    } catch (error) {
      return refusal(error, HTTP_BAD_REQUEST);
    }
  };
}

/**
 * Answers many keep-alives at once, in their order. Those that wait for more than the renewal (an expired lease for its revocation) must
 * not hold up the others: they are answered with a TTL of -1, and asked for alone.
 */
export function leaseKeepAlivesHandler(primary: LeasePrimary): PeerRequestHandler {
  return async (body) => {
    const lows: number[] = [];
    const highs: number[] = [];
    const isWhole = visitCheckpoints(body, 0, body.length, (low, high) => {
      lows.push(low);
      highs.push(high);
    });
    if (!isWhole) return textAnswer(HTTP_BAD_REQUEST, UNMARSHAL_TEXT);
    const seconds = new Float64Array(lows.length).fill(-1);
    const renewals = lows.map(async (low, index) => {
      try {
        seconds[index] = await primary.renewHere(low, highs[index]);
      } catch (error) {
        if (!isLeaseNotFound(error)) throw error;
        seconds[index] = 0;
      }
    });
    try {
      await within(Promise.all(renewals), BATCH_WAIT_MS);
    } catch (error) {
      return refusal(error, HTTP_BAD_REQUEST);
    }
    return protobuf(encodeCheckpoints(lows, highs, seconds, lows.length));
  };
}

/** Answers a LeaseInternalRequest with a LeaseInternalResponse; the header inside is empty. */
export function leaseTimeToLiveHandler(primary: LeasePrimary): PeerRequestHandler {
  return async (body) => {
    const request = unwrap(body);
    if (request === null) return textAnswer(HTTP_BAD_REQUEST, UNMARSHAL_TEXT);
    try {
      const answer = await within(primary.timeToLiveHere(request), APPLY_WAIT_MS);
      if (answer === TIMED_OUT) return textAnswer(HTTP_REQUEST_TIMEOUT, NOT_APPLIED_TEXT);
      const response = new Uint8Array(EMPTY_HEADER.length + answer.length);
      response.set(EMPTY_HEADER);
      response.set(answer, EMPTY_HEADER.length);
      return protobuf(new MessageBuilder().bytes(1, response).finish());
    } catch (error) {
      return refusal(error, HTTP_INTERNAL_ERROR);
    }
  };
}

/** Field 1, an empty message. */
const EMPTY_HEADER = Uint8Array.of(0x0a, 0);
const TIMED_OUT = Symbol("timed out");

async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | typeof TIMED_OUT> {
  const { promise: late, resolve } = Promise.withResolvers<typeof TIMED_OUT>();
  const timer = setTimeout(() => resolve(TIMED_OUT), timeoutMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function protobuf(body: Uint8Array): PeerAnswer {
  return { status: 200, contentType: PeerContentType.protobuf, body };
}

function refusal(error: unknown, status: number): PeerAnswer {
  if (!(error instanceof CallFailure)) throw error;
  if (isLeaseNotFound(error)) return textAnswer(HTTP_NOT_FOUND, NOT_FOUND_TEXT);
  if (isNotPrimary(error)) return textAnswer(status, ERRORS[ErrorId.notPrimaryLessor].message);
  return textAnswer(status, error.message);
}
