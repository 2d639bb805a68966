/** How responses of a watch are printed. */
import { create } from "@bufbuild/protobuf";
import { EventSchema, Event_EventType } from "../../proto/gen/kv_pb.ts";
import { ResponseHeaderSchema, type WatchResponse, WatchResponseSchema } from "../../proto/gen/rpc_pb.ts";
import { messageToJson } from "../common/message-json.ts";
import { printLine } from "../common/terminal.ts";
import { printHeaderFields, printKvFields, printPairs } from "./kv-view.ts";
import type { View } from "./view.ts";

/** View of a response; undefined: of a watch that ended before there was one. */
export function watchView(response: WatchResponse | undefined): View {
  const shown = response ?? create(WatchResponseSchema, { canceled: true });
  return {
    message: { schema: WatchResponseSchema, value: withoutStream(shown) },
    simple: (hex) => {
      for (const { type, kv, prevKv } of shown.events) {
        printLine(typeName(type));
        printPairs(
          [prevKv, kv].filter((each) => each !== undefined),
          hex,
        );
      }
    },
    fields: (hex) => {
      printHeaderFields(shown.header, hex);
      for (const { type, kv, prevKv } of shown.events) {
        printLine(`"Type" : ${typeName(type)}`);
        if (prevKv !== undefined) printKvFields("Prev", prevKv, hex);
        if (kv !== undefined) printKvFields("", kv, hex);
      }
    },
    json: () => watchJson(shown, response !== undefined),
  };
}

export function typeName(type: Event_EventType): string {
  return type === Event_EventType.DELETE ? "DELETE" : "PUT";
}

/** What a client makes of a response: the number of the watch, and why it ended, are not in it. */
function withoutStream({ header, events, compactRevision, canceled, created }: WatchResponse): WatchResponse {
  const known = header === undefined ? {} : { header };
  return create(WatchResponseSchema, { ...known, events, compactRevision, canceled, created });
}

/** A Go struct without tags: names as they are, nothing left out. */
function watchJson(response: WatchResponse, hasEvents: boolean): string {
  const header = messageToJson(ResponseHeaderSchema, response.header ?? create(ResponseHeaderSchema));
  const events = response.events.map((event) => messageToJson(EventSchema, event));
  const list = hasEvents ? `[${events.join(",")}]` : "null";
  const { compactRevision, canceled, created } = response;
  return `{"Header":${header},"Events":${list},"CompactRevision":${compactRevision},"Canceled":${canceled},"Created":${created}}`;
}
