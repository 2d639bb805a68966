/** `etcdctl endpoint health` */
import { Client, type ClientOptions } from "../../../client/client.ts";
import { EtcdError } from "../../../client/etcd-error.ts";
import { AlarmRequest_AlarmAction as AlarmAction, AlarmType } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { formatGoDuration } from "../../common/go-duration.ts";
import { goQuote } from "../../common/go-quote.ts";
import { goJsonString } from "../../common/message-json.ts";
import { print, printErrorLine, printLine } from "../../common/terminal.ts";
import { textTable } from "../../common/text-table.ts";
import { selectedEndpoints } from "../endpoints.ts";
import { openSession } from "../session.ts";
import { show, type View } from "../view.ts";

export const command: Command = {
  usage: "health",
  async run(context) {
    const session = await openSession(context);
    const endpoints = await selectedEndpoints(context, session);
    const list = await Promise.all(endpoints.map((endpoint) => checkHealth(endpoint, session.client)));
    show(session.output, healthView(list));
    if (list.some((health) => health.error !== "")) throw new CliError(ExitCode.error, "unhealthy cluster");
  },
};

interface Health {
  readonly endpoint: string;
  readonly healthy: boolean;
  /** Time of the read that was tried, as Go prints durations; empty if it came to none. */
  readonly took: string;
  readonly error: string;
}

/** Any key will do: what counts is that a read goes through consensus. */
const PROBE_KEY = Buffer.from("health");
const PERMISSION_DENIED = "etcdserver: permission denied";

async function checkHealth(endpoint: string, options: ClientOptions): Promise<Health> {
  let client: Client;
  try {
    client = await Client.connect({ ...options, endpoints: [endpoint] });
  } catch (error) {
    if (!(error instanceof EtcdError)) throw new CliError(ExitCode.badArgs, (error as Error).message);
    return { endpoint, healthy: false, took: "", error: error.message };
  }
  const startNs = process.hrtime.bigint();
  // One deadline for both calls.
  const deadlineMs = performance.now() + (options.callTimeoutMs ?? Infinity);
  try {
    const problem = await probe(() => client.kv.range({ key: PROBE_KEY }));
    const took = formatGoDuration(process.hrtime.bigint() - startNs);
    // A denial has come through consensus too.
    const answered = problem === "" || problem === PERMISSION_DENIED;
    const error = answered ? await alarmProblem(client, deadlineMs - performance.now()) : problem;
    return { endpoint, healthy: error === "", took, error };
  } finally {
    client.close();
  }
}

async function probe(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
    return "";
  } catch (error) {
    if (error instanceof EtcdError) return error.message;
    throw error;
  }
}

async function alarmProblem(client: Client, timeoutMs: number): Promise<string> {
  try {
    const { alarms } = await client.maintenance.alarm({ action: AlarmAction.GET }, { timeoutMs });
    if (alarms.length === 0) return "";
    return `Active Alarm(s): ${alarms.map(({ alarm }) => `${alarmName(alarm)} `).join("")}`;
  } catch (error) {
    if (error instanceof EtcdError) return "Unable to fetch the alarm list";
    throw error;
  }
}

function alarmName(alarm: number): string {
  if (alarm === AlarmType.NOSPACE) return "NOSPACE";
  return alarm === AlarmType.CORRUPT ? "CORRUPT" : "UNKNOWN";
}

function healthView(list: readonly Health[]): View {
  return {
    simple: () => {
      for (const { endpoint, took, error } of list) {
        if (error === "")
          printLine(`${endpoint} is healthy: successfully committed proposal: took = ${took}`);
        else printErrorLine(`${endpoint} is unhealthy: failed to commit proposal: ${error}`);
      }
    },
    table: () => {
      const rows = list.map(({ endpoint, healthy, took, error }) => [endpoint, String(healthy), took, error]);
      print(textTable(["endpoint", "health", "took", "error"], rows));
    },
    json: () => (list.length === 0 ? "null" : `[${list.map(healthJson).join(",")}]`),
    fields: () => {
      for (const { endpoint, healthy, took, error } of list) {
        printLine(`"Endpoint" : ${goQuote(endpoint)}`);
        printLine(`"Health" : ${healthy}`);
        printLine(`"Took" : ${took}`);
        printLine(`"Error" : ${error}`);
        printLine("");
      }
    },
  };
}

function healthJson({ endpoint, healthy, took, error }: Health): string {
  const tail = error === "" ? "" : `,"error":${goJsonString(error)}`;
  return `{"endpoint":${goJsonString(endpoint)},"health":${healthy},"took":${goJsonString(took)}${tail}}`;
}
