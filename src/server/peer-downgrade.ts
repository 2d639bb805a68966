/** `/downgrade/enabled`: a member that joins asks whether the cluster is being downgraded. */

import { ReadKind } from "../ring/record-types.ts";
import { CallFailure } from "./internal-call.ts";
import { PeerContentType, type PeerRequestHandler, textAnswer } from "./peer-requests.ts";
import type { Router } from "./router.ts";

const EMPTY = new Uint8Array(0);

/** The handler. It reads linearizably first, so the answer is the cluster's and not a cut-off member's. */
export function downgradeEnabledHandler(router: Router): PeerRequestHandler {
  return async () => {
    try {
      await router.request((call) => router.read(call, ReadKind.barrier, true, EMPTY, 0, 0));
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      return textAnswer(500, `failed linearized read: ${error.message}`);
    }
    const body = new TextEncoder().encode(String(router.status.downgradeTarget !== ""));
    return { status: 200, contentType: PeerContentType.text, body };
  };
}
