/** The client's SETTINGS, checked (RFC 9113 section 6.5.2). */
import { readUint32 } from "./bytes.ts";
import {
  FLOW_CONTROL_ERROR,
  INT31_MAX,
  NO_ERROR,
  PROTOCOL_ERROR,
  SETTING_ENABLE_PUSH,
  SETTING_HEADER_TABLE_SIZE,
  SETTING_INITIAL_WINDOW_SIZE,
  SETTING_MAX_FRAME_SIZE,
} from "./http2.ts";

/** Takes the settings that matter to a server that sends no pushes and no frame beyond the protocol's minimum. */
export interface SettingsSink {
  onHeaderTableSize(bytes: number): void;
  /** Returns false when an open stream's window overflows. */
  onInitialWindow(bytes: number): boolean;
}

/** Applies the payload `bytes[start, end)`, a multiple of 6 long, in order. Returns NO_ERROR or the connection error. */
export function applySettings(bytes: Uint8Array, start: number, end: number, sink: SettingsSink): number {
  for (let at = start; at < end; at += 6) {
    const id = (bytes[at] << 8) | bytes[at + 1];
    const value = readUint32(bytes, at + 2);
    if (id === SETTING_INITIAL_WINDOW_SIZE) {
      if (value > INT31_MAX || !sink.onInitialWindow(value)) return FLOW_CONTROL_ERROR;
    } else if (id === SETTING_HEADER_TABLE_SIZE) {
      sink.onHeaderTableSize(value);
    } else if (id === SETTING_MAX_FRAME_SIZE) {
      if (value < 16_384 || value > 0xff_ffff) return PROTOCOL_ERROR;
    } else if (id === SETTING_ENABLE_PUSH && value > 1) {
      return PROTOCOL_ERROR;
    }
  }
  return NO_ERROR;
}
