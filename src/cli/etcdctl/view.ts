/** The output formats: a command says how it looks in each, `show` prints the one that was asked for. */
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { toBinary } from "@bufbuild/protobuf";
import { CliError, ExitCode } from "../common/cli-error.ts";
import { messageToJson } from "../common/message-json.ts";
import { print, printLine } from "../common/terminal.ts";

const FORMATS = ["simple", "fields", "json", "protobuf", "table"] as const;

/** How to print. */
export interface Output {
  readonly format: (typeof FORMATS)[number];
  /** `--hex` */
  readonly hex: boolean;
}

/** One result in all formats it has. What is missing is refused as etcdctl does. */
export interface View {
  readonly simple: (hex: boolean) => void;
  readonly fields?: (hex: boolean) => void;
  readonly table?: () => void;
  /** Default: the JSON of `message`. */
  readonly json?: (hex: boolean) => string;
  /** The response, for json and protobuf. */
  readonly message?: { readonly schema: DescMessage; readonly value: Message };
}

/** Reads `--write-out`. Throws CliError. */
export function selectOutput(format: string, hex: boolean): Output {
  const known = FORMATS.find((each) => each === format);
  if (known === undefined) throw new CliError(ExitCode.badFeature, "unsupported output format");
  return { format: known, hex };
}

/** Prints the view. Throws CliError for a format it does not have. */
export function show({ format, hex }: Output, view: View): void {
  const { message } = view;
  if (format === "simple") return view.simple(hex);
  if (format === "fields" && view.fields !== undefined) return view.fields(hex);
  if (format === "table" && view.table !== undefined) return view.table();
  if (format === "json" && view.json !== undefined) return printLine(view.json(hex));
  if (format === "json" && message !== undefined)
    return printLine(messageToJson(message.schema, message.value));
  if (format === "protobuf" && message !== undefined) return print(toBinary(message.schema, message.value));
  throw new CliError(ExitCode.badFeature, `${format} not supported as output format`);
}
