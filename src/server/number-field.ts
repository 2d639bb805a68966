/** The one number that most small requests consist of. */
import { ERRORS, ErrorId } from "../base/errors.ts";
import type { Call } from "../grpc/service.ts";
import { WireReader } from "../proto/wire.ts";

const reader = new WireReader();

/**
 * Field 1 of the message in `bytes[start, end)`, a bool, an enum or an int64: 0 if it is not there. A malformed message ends the
 * call, and gives null.
 */
export function readNumberField(call: Call, bytes: Uint8Array, start: number, end: number): number | null {
  let value = 0;
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) value = reader.int64();
    else reader.skip(tag);
  }
  return reader.failed ? refuseMalformed(call) : value;
}

/** Ends a call whose request cannot be decoded. */
export function refuseMalformed(call: Call): null {
  const { grpcCode, message } = ERRORS[ErrorId.malformedRequest];
  call.end(grpcCode, message);
  return null;
}
