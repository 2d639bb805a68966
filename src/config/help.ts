/** Texts of `--help` and `--version`, made from the flag table. */
import { SERVER_VERSION } from "../base/version.ts";
import { FEATURE_GATES } from "./feature-gates.ts";
import type { FlagRow } from "./flag-row.ts";
import { FLAG_SECTIONS } from "./flag-table.ts";

/** What is shown after a mistake on the command line. */
export const USAGE_TEXT = `Usage:

  etcd [flags]
    Start a member.

  etcd --version
    Print the version.

  etcd -h | --help
    Explain every flag.

  etcd --config-file
    Take the configuration from this YAML file; all other flags and all environment variables are then ignored.
`;

/** Every flag by section. */
export const HELP_TEXT = FLAG_SECTIONS.map(({ title, flags }) => {
  return `${title}:\n${flags.map(describe).join("\n")}\n`;
}).join("\n");

function describe(row: FlagRow): string {
  const lines = [`  --${row.name}${row.type === "bool" ? "" : ` '${row.default}'`}`, `    ${row.help}`];
  if (row.type === "bool" && row.default === "true") lines[0] += " 'true'";
  if (row.choices !== undefined) lines.push(`    One of: ${row.choices.join(", ")}.`);
  if (row.renamedTo !== undefined) lines.push(`    Deprecated: use --${row.renamedTo}.`);
  if (row.gate !== undefined) lines.push(`    Deprecated: use --feature-gates=${row.gate}=true|false.`);
  if (row.noEffectYet) lines.push("    Has no effect yet.");
  if (row.type === "gates") {
    for (const gate of FEATURE_GATES) {
      lines.push(`    ${gate.name}=true|false (${gate.stage}, default ${gate.default})`);
    }
  }
  return lines.join("\n");
}

/** Version lines; scripts look for the first one. */
export function versionText(): string {
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  return [
    `etcd Version: ${SERVER_VERSION}`,
    "Git SHA: Not provided",
    `Node.js Version: ${process.version}`,
    `Node.js OS/Arch: ${process.platform}/${architecture}`,
    "",
  ].join("\n");
}
