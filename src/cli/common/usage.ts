/** The help of a command, laid out as etcd's tools do. */
import { API_VERSION, SERVER_VERSION } from "../../base/version.ts";
import type { Command, CommandEntry } from "./command.ts";
import { inheritedFlags } from "./command.ts";
import type { FlagSpec } from "./flags.ts";
import { formatFlagValue } from "./flags.ts";

/** Columns of a tab. */
const TAB = 8;

/** Every command has it. */
export function helpFlag(name: string): FlagSpec {
  return { name: "help", short: "h", type: "bool", default: false, help: `help for ${name}` };
}

/** The whole help text. `command` is what `path`'s last entry loads, if it runs. */
export function usageText(path: readonly CommandEntry[], command: Command | undefined): string {
  const entry = path.at(-1)!;
  const isRoot = path.length === 1;
  const names = path.slice(1).map((each) => each.name);
  const title = isRoot ? entry.name : names.join(" ");
  const own = [helpFlag(entry.name), ...(command?.flags ?? []), ...(entry.inheritedFlags ?? [])];
  const sections = [`NAME:\n  ${title} - ${entry.summary}\n`];
  sections.push(`USAGE:\n  ${useLine(path, command)}\n`);
  if (isRoot) sections.push(`VERSION:\n  ${SERVER_VERSION}\n`);
  if (entry.commands !== undefined) {
    sections.push(
      `API VERSION:\n  ${API_VERSION}\n`,
      `COMMANDS:\n${columns(commandRows(entry.commands, []))}`,
    );
  }
  if (command?.description !== undefined)
    sections.push(`DESCRIPTION:\n${indent(command.description.trim())}`);
  sections.push(`OPTIONS:\n${columns(flagRows(own))}`);
  if (!isRoot) sections.push(`GLOBAL OPTIONS:\n${columns(flagRows(inheritedFlags(path.slice(0, -1))))}`);
  return `${sections.join("\n")}\n`;
}

function useLine(path: readonly CommandEntry[], command: Command | undefined): string {
  const own = command?.usage ?? (path.length === 1 ? "" : `${path.at(-1)!.name} <subcommand>`);
  const above = path.slice(0, -1).map((entry) => entry.name);
  return [...above, own === "" ? path[0].name : own, "[flags]"].join(" ");
}

function commandRows(entries: readonly CommandEntry[], above: readonly string[]): [string, string][] {
  const sorted = [...entries].sort((a, b) => (a.name < b.name ? -1 : 1));
  return sorted.flatMap((entry) => {
    const names = [...above, entry.name];
    if (entry.commands !== undefined) return commandRows(entry.commands, names);
    return [[`  ${names.join(" ")}`, entry.summary] as [string, string]];
  });
}

function flagRows(flags: readonly FlagSpec[]): [string, string][] {
  const sorted = [...flags].sort((a, b) => (a.name < b.name ? -1 : 1));
  return sorted.map((flag) => {
    const dashes = flag.short === undefined ? "      --" : `  -${flag.short}, --`;
    const text = formatFlagValue(flag.type, flag.default);
    const value = flag.type === "string" ? `="${text}"` : `=${text}`;
    return [`${dashes}${flag.name}${flag.type === "bool" ? `[${value}]` : value}`, flag.help];
  });
}

/** Two columns, set with tabs. */
function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.ceil((Math.max(...rows.map(([left]) => left.length)) + 1) / TAB) * TAB;
  return rows
    .map(([left, right]) => `${left}${"\t".repeat(Math.ceil((width - left.length) / TAB))}${right}\n`)
    .join("");
}

function indent(text: string): string {
  return text
    .split("\n")
    .map((line) => `  ${line}\n`)
    .join("");
}
