/** The look of a log line: etcd's time stamp, and its tab-separated console format. */

/** `2006-01-02T15:04:05.000000Z0700`: local time with microseconds, `Z` where local time is UTC. */
export function formatTimestamp(unixMs: number): string {
  const date = new Date(unixMs);
  const offsetMinutes = -date.getTimezoneOffset();
  const local = new Date(Math.floor(unixMs) + offsetMinutes * 60_000).toISOString();
  const micros = Math.floor((unixMs - Math.floor(unixMs)) * 1000);
  return `${local.slice(0, -1)}${String(micros).padStart(3, "0")}${formatOffset(offsetMinutes)}`;
}

function formatOffset(minutes: number): string {
  if (minutes === 0) return "Z";
  const digits = (value: number): string => String(value).padStart(2, "0");
  const magnitude = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${digits(Math.floor(magnitude / 60))}${digits(magnitude % 60)}`;
}

/** Turns a JSON line into a line of `--log-format=console`: time, level, caller and message, then the fields as JSON. */
export function toConsoleLine(jsonLine: string): string {
  const { level, ts, caller, msg, ...fields } = JSON.parse(jsonLine) as Record<string, unknown>;
  const columns = [ts, level, caller, msg];
  if (Object.keys(fields).length > 0) columns.push(JSON.stringify(fields));
  return `${columns.join("\t")}\n`;
}
