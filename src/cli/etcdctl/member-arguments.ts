/** What the commands that change members read from their words, and how they print ids. */
import { ConfigError } from "../../config/config-error.ts";
import { parseUrl } from "../../config/urls.ts";
import { CliError, ExitCode } from "../common/cli-error.ts";
import { type FlagSpec, parseArgument } from "../common/flags.ts";
import { parseUint64 } from "../common/go-number.ts";

/** `--peer-urls` */
export function peerUrlsFlag(of: string): FlagSpec {
  return {
    name: "peer-urls",
    type: "string",
    default: "",
    help: `peer URLs of the ${of} member, with commas`,
  };
}

/** The only argument of a command: a member's id in hexadecimal. Throws CliError. */
export function readMemberId(args: readonly string[]): bigint {
  if (args.length !== 1) throw new CliError(ExitCode.badArgs, "member ID is not provided");
  return parseArgument(
    () => parseUint64(args[0], 16),
    ExitCode.badArgs,
    (cause) => `bad member ID arg (${cause}), expecting ID in Hex`,
  );
}

/** The list of `--peer-urls`. Throws CliError if there is none. */
export function splitPeerUrls(list: string): string[] {
  if (list === "") throw new CliError(ExitCode.badArgs, "member peer urls not provided");
  return list.split(",");
}

/** Throws CliError for URLs that no member could use, before a member is asked. */
export function checkPeerUrls(urls: readonly string[]): void {
  try {
    for (const url of urls) parseUrl(url.trim());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CliError(ExitCode.error, error.message);
  }
}

/** Go's `%16x`: hexadecimal, with spaces in front. */
export function padId(id: bigint | undefined): string {
  return (id ?? 0n).toString(16).padStart(16, " ");
}
