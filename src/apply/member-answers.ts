/** The answers of the Cluster service, which carry the members as they are after the change. */

import { ConfChangeType } from "../proto/conf-change.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import type { Member, MemberChange } from "../cluster/membership.ts";

/** etcdserverpb.Member {1 ID, 2 name, 3 peerURLs, 4 clientURLs, 5 isLearner}. */
function encodeMember(member: Member): MessageBuilder {
  return new MessageBuilder()
    .uint64(1, member.id)
    .string(2, member.name)
    .strings(3, member.peerUrls)
    .strings(4, member.clientUrls)
    .bool(5, member.isLearner);
}

/** MemberListResponse, and the responses to a removal, an update and a promotion: {1 header, 2 members}. */
export function encodeMemberList(header: MessageBuilder, members: Iterable<Member>): Uint8Array {
  const response = new MessageBuilder().message(1, header);
  for (const member of members) response.message(2, encodeMember(member));
  return response.finish();
}

/** The response to the request that asked for `change`; `members` are those after it. MemberAdd's is {1 header, 2 member, 3 members}. */
export function encodeChangeResponse(
  header: MessageBuilder,
  change: MemberChange,
  members: readonly Member[],
): Uint8Array {
  const adds = change.type === ConfChangeType.addNode || change.type === ConfChangeType.addLearnerNode;
  if (!adds || change.isPromote || change.member === null) return encodeMemberList(header, members);
  const response = new MessageBuilder().message(1, header).message(2, encodeMember(change.member));
  for (const member of members) response.message(3, encodeMember(member));
  return response.finish();
}
