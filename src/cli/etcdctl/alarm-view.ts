/** How alarms are printed. */
import {
  type AlarmMember,
  type AlarmResponse,
  AlarmResponseSchema,
  AlarmType,
} from "../../proto/gen/rpc_pb.ts";
import { printLine } from "../common/terminal.ts";
import { formatId, printHeaderFields } from "./kv-view.ts";
import type { View } from "./view.ts";

/** View of an Alarm call. */
export function alarmView(response: AlarmResponse): View {
  const { header, alarms } = response;
  return {
    message: { schema: AlarmResponseSchema, value: response },
    simple: () => {
      for (const alarm of alarms) printLine(alarmText(alarm));
    },
    fields: (hex) => {
      printHeaderFields(header, hex);
      for (const alarm of alarms) {
        printLine(`"MemberID" : ${formatId(alarm.memberID, hex)}`);
        printLine(`"AlarmType" : ${alarmName(alarm.alarm)}`);
        printLine("");
      }
    },
  };
}

/** Protobuf's text format, with the space at its end. */
function alarmText({ memberID, alarm }: AlarmMember): string {
  const member = memberID === 0n ? "" : `memberID:${memberID} `;
  return alarm === AlarmType.NONE ? member : `${member}alarm:${alarmName(alarm)} `;
}

function alarmName(type: AlarmType): string {
  const found = Object.entries(AlarmType).find(([, value]) => value === type);
  return found?.[0] ?? String(type);
}
