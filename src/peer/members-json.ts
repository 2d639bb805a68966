/** The membership as the transport gets it from apply, and as GET /members tells it. */

import { type Member, type MembershipReport, formatMember } from "../cluster/membership.ts";

/** Reads the payload of a `membership` record. */
export function parseMembership(report: Uint8Array): MembershipReport {
  return JSON.parse(new TextDecoder().decode(report)) as MembershipReport;
}

/** The members of a report, by ascending id. */
export function membersOf(report: MembershipReport): readonly Member[] {
  return report.members
    .map((member) => ({ ...member, id: BigInt(`0x${member.id}`) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** JSON array with a line end, as etcd writes it. */
export function formatMembers(report: MembershipReport): string {
  return `[${membersOf(report).map(formatMember).join(",")}]\n`;
}
