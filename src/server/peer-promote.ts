/** `/members/promote/<id>`: other members have this one, the leader, promote a learner. */

import { ERRORS, ErrorId } from "../base/errors.ts";
import { formatMember } from "../cluster/membership.ts";
import { CallFailure } from "./internal-call.ts";
import { internalError, jsonAnswer, type PeerRequestHandler, textAnswer } from "./peer-requests.ts";
import { NOT_LEARNER_TEXT, type Reconfigurer } from "./reconfigurer.ts";

const HTTP_NOT_FOUND = 404;
const HTTP_PRECONDITION_FAILED = 412;

/** By the message of what a promotion fails with: the status and the text that etcd's members expect. Others are internal errors. */
const REFUSALS: ReadonlyMap<string, readonly [status: number, text: string]> = new Map([
  [ERRORS[ErrorId.memberNotFound].message, [HTTP_NOT_FOUND, "membership: ID not found"]],
  [ERRORS[ErrorId.memberNotLearner].message, [HTTP_PRECONDITION_FAILED, NOT_LEARNER_TEXT]],
  [
    ERRORS[ErrorId.learnerNotReady].message,
    [HTTP_PRECONDITION_FAILED, ERRORS[ErrorId.learnerNotReady].message],
  ],
]);

/** The handler; the request's body is the id, u64 LE. */
export function promoteHandler(reconfigurer: Reconfigurer): PeerRequestHandler {
  return async (body) => {
    const id = new DataView(body.buffer, body.byteOffset).getBigUint64(0, true);
    try {
      const members = await reconfigurer.promoteHere(id);
      return jsonAnswer(200, `[${members.map(formatMember).join(",")}]\n`);
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      const refusal = REFUSALS.get(error.message);
      return refusal === undefined ? internalError() : textAnswer(...refusal);
    }
  };
}
