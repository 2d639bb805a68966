/**
 * The Cluster service. The membership is the apply thread's: it answers MemberList, and the changes once they are committed.
 * The checks before a change: `reconfigurer.ts`.
 */

import { encodeMemberList } from "../apply/member-answers.ts";
import { ERRORS, ErrorId, GrpcCode } from "../base/errors.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import { type MemberIdentity, responseHeader } from "../proto/response-header.ts";
import { ReadKind } from "../ring/record-types.ts";
import { CallFailure } from "./internal-call.ts";
import { type MemberRequest, readMemberRequest } from "./member-request.ts";
import { type Change, failure, type Reconfigurer } from "./reconfigurer.ts";
import { readNumberField } from "./number-field.ts";
import type { Router } from "./router.ts";

const EMPTY = new Uint8Array(0);

class MemberListMethod implements MethodHandler {
  readonly path = "/etcdserverpb.Cluster/MemberList";
  readonly kind = "unary";
  readonly #router: Router;

  constructor(router: Router) {
    this.#router = router;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    // MemberListRequest {1 linearizable}.
    const linearizable = readNumberField(call, bytes, start, end);
    if (linearizable !== null) this.#router.read(call, ReadKind.memberList, linearizable !== 0, EMPTY, 0, 0);
  }

  onCancel(call: Call): void {
    this.#router.cancel(call);
  }
}

/** Makes a change of a request; null when the call was answered in another way. */
type Prepare = (request: MemberRequest, call: Call) => Promise<Change | null>;

/** A method that changes the membership. */
class ChangeMethod implements MethodHandler {
  readonly path: string;
  readonly kind = "unary";
  readonly #router: Router;
  readonly #prepare: Prepare;

  constructor(router: Router, method: string, prepare: Prepare) {
    this.path = `/etcdserverpb.Cluster/${method}`;
    this.#router = router;
    this.#prepare = prepare;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const request = readMemberRequest(call, bytes, start, end);
    if (request === null || !this.#router.admits(call, false)) return;
    this.#prepare(request, call).then(
      (change) => {
        if (change !== null && !call.cancelled) this.#router.proposeConfChange(call, change);
      },
      (error: unknown) => this.#router.end(call, asFailure(error)),
    );
  }

  onCancel(call: Call): void {
    this.#router.cancel(call);
  }
}

/** What a handler rejects with, as a status. Anything unexpected is a defect, and told as such. */
function asFailure(error: unknown): CallFailure {
  return error instanceof CallFailure ? error : new CallFailure(GrpcCode.unknown, String(error));
}

/** Handlers of `etcdserverpb.Cluster`. */
export function clusterMethods(
  router: Router,
  identity: MemberIdentity,
  reconfigurer: Reconfigurer,
): MethodHandler[] {
  return [
    new MemberListMethod(router),
    // MemberAddRequest {1 peerURLs, 2 isLearner}.
    new ChangeMethod(router, "MemberAdd", (request) =>
      reconfigurer.add(request.strings(1), request.number(2) !== 0n, Date.now()),
    ),
    // MemberRemoveRequest {1 ID}.
    new ChangeMethod(router, "MemberRemove", (request) => reconfigurer.remove(request.number(1))),
    // MemberUpdateRequest {1 ID, 2 peerURLs}.
    new ChangeMethod(router, "MemberUpdate", async (request) =>
      reconfigurer.update(request.number(1), request.strings(2)),
    ),
    // MemberPromoteRequest {1 ID}.
    new ChangeMethod(router, "MemberPromote", (request, call) =>
      promote({ router, identity, reconfigurer }, request.number(1), call),
    ),
  ];
}

interface Promotion {
  readonly router: Router;
  readonly identity: MemberIdentity;
  readonly reconfigurer: Reconfigurer;
}

/** On the leader the change to propose; elsewhere the leader proposes it, and its answer is passed on. */
async function promote(
  { router, identity, reconfigurer }: Promotion,
  id: bigint,
  call: Call,
): Promise<Change | null> {
  try {
    return await reconfigurer.promote(id);
  } catch (error) {
    if (!isNotLeader(error)) throw error;
  }
  const token = call.metadata("token") ?? call.metadata("authorization") ?? "";
  const members = await reconfigurer.promoteAtLeader(id, token);
  const answer = encodeMemberList(responseHeader(identity, 0, router.status.term), members);
  call.sendMessage(answer, 0, answer.length);
  router.end(call, failure(ErrorId.none));
  return null;
}

function isNotLeader(error: unknown): boolean {
  return error instanceof CallFailure && error.message === ERRORS[ErrorId.notLeader].message;
}
