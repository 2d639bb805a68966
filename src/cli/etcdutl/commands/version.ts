/** `etcdutl version` */
import { API_VERSION, SERVER_VERSION } from "../../../base/version.ts";
import type { Command } from "../../common/command.ts";
import { printLine } from "../../common/terminal.ts";

export const command: Command = {
  usage: "version",
  run() {
    printLine(`etcdutl version: ${SERVER_VERSION}`);
    printLine(`API version: ${API_VERSION}`);
  },
};
