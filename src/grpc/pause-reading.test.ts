import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, credentials } from "@grpc/grpc-js";
import { listenForTest } from "../../test/support/grpc-listener.ts";
import { TableLog, testTable } from "../../test/support/grpc-table.ts";

const same = (bytes: Buffer): Buffer => bytes;

/** A client with a connection of its own. */
function connect(target: string): Client {
  return new Client(target, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
}

function echo(client: Client, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest("/test.T/Echo", same, same, Buffer.from(text), (error, answer) =>
      error === null ? resolve(String(answer)) : reject(error),
    );
  });
}

test("a call stops its own connection and no other, until everybody who asked for it lets go", async (t) => {
  const log = new TableLog();
  const { transport, port } = await listenForTest(t, { services: testTable(log) });
  const [stopped, other] = [connect(`127.0.0.1:${port}`), connect(`127.0.0.1:${port}`)];
  t.after(() => {
    stopped.close();
    other.close();
  });
  const hanging = stopped.makeUnaryRequest("/test.T/Hang", same, same, Buffer.from("x"), () => undefined);
  await log.until(() => log.hanging.size === 1);
  const [call] = log.hanging;
  const resumes = [call.pauseReading?.(), call.pauseReading?.()];
  let answered = false;
  const waiting = echo(stopped, "later").then((text) => {
    answered = true;
    return text;
  });
  const stays = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) assert.equal(await echo(other, "now"), "now");
    assert.equal(answered, false);
  };
  await stays();
  resumes[0]?.();
  await stays();
  // As when the server as a whole was stopped meanwhile.
  transport.setPaused(true);
  transport.setPaused(false);
  await stays();
  resumes[1]?.();
  assert.equal(await waiting, "later");
  hanging.cancel();
});
