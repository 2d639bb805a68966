/**
 * Protobuf messages as JSON in the form of Go's encoding/json, which is what etcdctl's users parse: fields in the order of
 * the .proto file under their own names, zero values left out, 64-bit numbers as exact numbers, bytes in base64, enums as
 * numbers, a oneof as an object of its own. (The JSON gateway speaks another dialect: that of the protobuf standard.)
 */
import type { DescField, DescMessage, DescOneof, Message } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";

/** A message as one line of JSON. */
export function messageToJson(schema: DescMessage, message: Message): string {
  const fields = message as unknown as Record<string, unknown>;
  const parts: string[] = [];
  for (const member of schema.members) {
    if (member.kind === "oneof") parts.push(oneofToJson(member, fields[member.localName] as OneofValue));
    else if (!isZero(fields[member.localName])) parts.push(fieldToJson(member, fields[member.localName]));
  }
  return `{${parts.join(",")}}`;
}

interface OneofValue {
  readonly case: string | undefined;
  readonly value?: unknown;
}

/** `"Response":{"response_put":{…}}`: Go sees an interface with one of several structs behind it. */
function oneofToJson(oneof: DescOneof, set: OneofValue): string {
  const name = oneof.name.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
  if (set.case === undefined) return `${goJsonString(name)}:null`;
  const field = oneof.fields.find((each) => each.localName === set.case)!;
  const inner = isZero(set.value) ? "" : fieldToJson(field, set.value);
  return `${goJsonString(name)}:{${inner}}`;
}

function fieldToJson(field: DescField, value: unknown): string {
  const name = goJsonString(field.name);
  if (field.fieldKind !== "list") return `${name}:${valueToJson(field, value)}`;
  return `${name}:[${(value as unknown[]).map((item) => valueToJson(field, item)).join(",")}]`;
}

function valueToJson(field: DescField, value: unknown): string {
  if (field.message !== undefined) return messageToJson(field.message, value as Message);
  if (field.scalar === ScalarType.STRING) return goJsonString(value as string);
  if (field.scalar === ScalarType.BYTES) return `"${Buffer.from(value as Uint8Array).toString("base64")}"`;
  return String(value);
}

function isZero(value: unknown): boolean {
  if (value instanceof Uint8Array || Array.isArray(value)) return value.length === 0;
  return value === undefined || value === 0 || value === 0n || value === false || value === "";
}

/** A JSON string with what Go escapes beyond the standard: `<`, `>`, `&` and the line separators. */
export function goJsonString(text: string): string {
  return JSON.stringify(text.toWellFormed()).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
