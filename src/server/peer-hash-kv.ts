/** `/members/hashkv`: other members compare their hash with this one's. */

import { ERRORS, ErrorId } from "../base/errors.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { ReadKind } from "../ring/record-types.ts";
import { decodeHashKvResponse } from "./hash-kv-response.ts";
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

/** As Go's JSON: zeros are left out. */
function formatHash(response: Uint8Array): string {
  const { revision, hash, compactRevision, hashRevision } = decodeHashKvResponse(response);
  return JSON.stringify({
    header: { revision: revision || undefined },
    hash: hash || undefined,
    compact_revision: compactRevision || undefined,
    hash_revision: hashRevision || undefined,
  });
}
