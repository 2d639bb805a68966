/** `/members/hashkv`: other members compare their hash with this one's. */

import { ERRORS, ErrorId } from "../base/errors.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { WireReader } from "../proto/wire.ts";
import { ReadKind } from "../ring/record-types.ts";
import { CallFailure } from "./internal-call.ts";
import { internalError, jsonAnswer, type PeerRequestHandler, textAnswer } from "./peer-requests.ts";
import type { Router } from "./router.ts";

const HTTP_BAD_REQUEST = 400;
/** What is told to peers as it is, without the prefix that clients see. */
const TOLD: ReadonlySet<string> = new Set(
  [ErrorId.compacted, ErrorId.futureRev].map((id) => ERRORS[id].message),
);

/** The handler; the request is JSON `{"revision":N}`, without a revision for the newest. */
export function hashKvHandler(router: Router): PeerRequestHandler {
  return async (body) => {
    const { revision = 0 } = JSON.parse(new TextDecoder().decode(body)) as { revision?: number };
    const request = new MessageBuilder().number(1, revision).finish();
    try {
      const answer = await router.request((call) =>
        router.read(call, ReadKind.hashKv, false, request, 0, request.length),
      );
      return jsonAnswer(200, formatHash(answer));
    } catch (error) {
      if (!(error instanceof CallFailure) || !TOLD.has(error.message)) return internalError();
      return textAnswer(HTTP_BAD_REQUEST, error.message.replace("etcdserver: ", ""));
    }
  };
}

/** HashKVResponse {1 header {3 revision}, 2 hash, 3 compact_revision, 4 hash_revision} as Go's JSON: zeros are left out. */
function formatHash(response: Uint8Array): string {
  const reader = new WireReader();
  const values = [0, 0, 0, 0, 0];
  let header = [0, 0, 0, 0, 0];
  const read = (target: number[], start: number, end: number): void => {
    reader.reset(response, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if ((tag & 7) === 0) target[tag >>> 3] = reader.int64();
      else if (tag === HEADER_TAG) {
        const length = reader.length();
        const behind = reader.position + length;
        header = [0, 0, 0, 0, 0];
        read(header, reader.position, behind);
        reader.end = end;
        reader.position = behind;
      } else reader.skip(tag);
    }
  };
  read(values, 0, response.length);
  const [, , hash, compactRevision, hashRevision] = values;
  return JSON.stringify({
    header: { revision: header[3] || undefined },
    hash: hash || undefined,
    compact_revision: compactRevision || undefined,
    hash_revision: hashRevision || undefined,
  });
}

const HEADER_TAG = 0x0a;
