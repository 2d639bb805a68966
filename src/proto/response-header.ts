import { MessageBuilder } from "./message-builder.ts";

/** What every response header of this member carries. */
export interface MemberIdentity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
}

/** etcdserverpb.ResponseHeader; `revision` 0 leaves it out, as for membership answers. */
export function responseHeader(identity: MemberIdentity, revision: number, term: number): MessageBuilder {
  return new MessageBuilder()
    .uint64(1, identity.clusterId)
    .uint64(2, identity.memberId)
    .number(3, revision)
    .number(4, term);
}
