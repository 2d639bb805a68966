/** `etcdctl get` */
import { create } from "@bufbuild/protobuf";
import {
  type RangeRequest,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  RangeRequestSchema,
} from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import type { Flags } from "../../common/flags.ts";
import { parseConsistency } from "../consistency.ts";
import { keyRange } from "../key-range.ts";
import { rangeView } from "../kv-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "get [options] <key> [range_end]",
  flags: [
    { name: "consistency", type: "string", default: "l", help: "linearizable (l) or serializable (s)" },
    {
      name: "order",
      type: "string",
      default: "",
      help: "order of the results: ASCEND (the default) or DESCEND",
    },
    {
      name: "sort-by",
      type: "string",
      default: "",
      help: "what to sort by: CREATE, KEY, MODIFY, VALUE or VERSION",
    },
    { name: "limit", type: "int64", default: 0n, help: "most results wanted" },
    { name: "prefix", type: "bool", default: false, help: "get the keys that begin with <key>" },
    { name: "from-key", type: "bool", default: false, help: "get the keys from <key> on, in order of bytes" },
    { name: "rev", type: "int64", default: 0n, help: "revision to read at" },
    { name: "keys-only", type: "bool", default: false, help: "get the keys without values" },
    { name: "count-only", type: "bool", default: false, help: "get the number of keys" },
    { name: "print-value-only", type: "bool", default: false, help: 'print no keys in the "simple" format' },
    { name: "min-create-rev", type: "int64", default: 0n, help: "least create revision" },
    { name: "max-create-rev", type: "int64", default: 0n, help: "greatest create revision" },
    { name: "min-mod-rev", type: "int64", default: 0n, help: "least modification revision" },
    { name: "max-mod-rev", type: "int64", default: 0n, help: "greatest modification revision" },
  ],
  async run(context) {
    const { flags } = context;
    const request = rangeRequest(context.args, flags);
    const { client, output } = await openSession(context);
    const response = await withClient(client, ({ kv }) => kv.range(request));
    if (flags.bool("count-only") && output.format !== "fields") {
      throw new CliError(ExitCode.badArgs, "--count-only is only for `--write-out=fields`");
    }
    const valueOnly = flags.bool("print-value-only");
    if (valueOnly && output.format !== "simple") {
      throw new CliError(ExitCode.badArgs, "print-value-only is only for `--write-out=simple`");
    }
    show(output, rangeView(response, valueOnly));
  },
};

const ORDERS: Readonly<Record<string, SortOrder>> = {
  "": SortOrder.NONE,
  ASCEND: SortOrder.ASCEND,
  DESCEND: SortOrder.DESCEND,
};

const TARGETS: Readonly<Record<string, SortTarget>> = {
  "": SortTarget.KEY,
  CREATE: SortTarget.CREATE,
  KEY: SortTarget.KEY,
  MODIFY: SortTarget.MOD,
  VALUE: SortTarget.VALUE,
  VERSION: SortTarget.VERSION,
};

/** The request that arguments and flags ask for; also for an operation of a transaction. Throws CliError. */
export function rangeRequest(args: readonly string[], flags: Flags): RangeRequest {
  const [key, rangeEnd] = args;
  const prefix = flags.bool("prefix");
  const fromKey = flags.bool("from-key");
  checkCombination(args, flags);
  const serializable = parseConsistency(flags.string("consistency"));
  if (rangeEnd !== undefined && (prefix || fromKey)) {
    const problem = "too many arguments, only accept one argument when `--prefix` or `--from-key` is set";
    throw new CliError(ExitCode.badArgs, problem);
  }
  const sortTarget = lookUp(TARGETS, flags.string("sort-by"), "target");
  const wantedOrder = lookUp(ORDERS, flags.string("order"), "order");
  // Keys come in ascending order anyway; asking for it would make the server read and sort the whole range.
  const isKeyOrder = sortTarget === SortTarget.KEY && wantedOrder === SortOrder.ASCEND;
  return create(RangeRequestSchema, {
    ...keyRange(key, { prefix, fromKey, rangeEnd }),
    limit: flags.int64("limit"),
    revision: positive(flags.int64("rev")),
    sortOrder: isKeyOrder ? SortOrder.NONE : wantedOrder,
    sortTarget,
    serializable,
    keysOnly: flags.bool("keys-only"),
    countOnly: flags.bool("count-only"),
    ...revisionBounds(flags),
  });
}

function checkCombination(args: readonly string[], flags: Flags): void {
  const problem =
    args.length === 0
      ? "get command needs one argument as key and an optional argument as range_end"
      : flags.bool("prefix") && flags.bool("from-key")
        ? "`--prefix` and `--from-key` cannot be set at the same time, choose one"
        : flags.bool("keys-only") && flags.bool("count-only")
          ? "`--keys-only` and `--count-only` cannot be set at the same time, choose one"
          : undefined;
  if (problem !== undefined) throw new CliError(ExitCode.badArgs, problem);
}

function revisionBounds(flags: Flags) {
  const [minCreateRevision, maxCreateRevision] = bounds(
    flags,
    "create",
    "getMinCreateRev",
    "getMaxCreateRev",
  );
  const [minModRevision, maxModRevision] = bounds(flags, "mod", "getMinModRev", "getMaxModRev");
  return { minCreateRevision, maxCreateRevision, minModRevision, maxModRevision };
}

function bounds(flags: Flags, kind: string, minName: string, maxName: string): [bigint, bigint] {
  const min = flags.int64(`min-${kind}-rev`);
  const max = flags.int64(`max-${kind}-rev`);
  if (max > 0n && min > max) {
    throw new CliError(ExitCode.badFeature, `${minName}(=${min}) > ${maxName}(=${max})`);
  }
  return [positive(min), positive(max)];
}

/** Etcd's client sends only bounds that are positive. */
function positive(value: bigint): bigint {
  return value > 0n ? value : 0n;
}

function lookUp<T>(table: Readonly<Record<string, T>>, name: string, what: string): T {
  const key = name.toUpperCase();
  if (!Object.hasOwn(table, key)) throw new CliError(ExitCode.badFeature, `bad sort ${what} ${name}`);
  return table[key];
}
