import assert from "node:assert/strict";
import { type AddressInfo, type Socket, createServer } from "node:net";
import { type TestContext, describe, test } from "node:test";
import { Prng } from "../base/prng.ts";
import { BODY_ENDED, BODY_GOES_ON, BODY_MALFORMED, ChunkedBody } from "./chunked-body.ts";
import { PeerStream } from "./peer-stream.ts";

/** Content and last answer when `text` comes in pieces that begin at `cuts`. */
function decode(text: string, cuts: readonly number[] = []): { content: string; what: number } {
  let content = "";
  const body = new ChunkedBody((bytes, start, end) => {
    content += Buffer.from(bytes.subarray(start, end)).toString("latin1");
  });
  const bytes = Buffer.from(text, "latin1");
  const ends = [...cuts, bytes.length];
  let what: number = BODY_GOES_ON;
  let start = 0;
  for (const end of ends) {
    what = body.push(bytes, start, end);
    if (what === BODY_MALFORMED) break;
    start = end;
  }
  return { content, what };
}

describe("chunked coding", () => {
  test("wherever the pieces are cut, the content comes out", () => {
    const text =
      '5\r\nhello\r\n0000000A;name="v"\r\n\r\n0\r\n\r\nabc\r\n1 \nx\n0\r\nTrailer: 1\r\n\r\nbehind';
    for (let a = 0; a <= text.length; a++) {
      assert.deepEqual(decode(text, [a]), { content: "hello\r\n0\r\n\r\nabcx", what: BODY_ENDED }, `${a}`);
    }
    const random = new Prng(1);
    for (let run = 0; run < 200; run++) {
      const cuts = Array.from({ length: 8 }, () => random.below(text.length)).toSorted((a, b) => a - b);
      assert.equal(decode(text, cuts).content, "hello\r\n0\r\n\r\nabcx", cuts.join(" "));
    }
  });

  test("a body that has not ended goes on", () => {
    assert.deepEqual(decode("3\r\nab"), { content: "ab", what: BODY_GOES_ON });
    assert.equal(decode("3\r\nabc\r\n0\r\n").what, BODY_GOES_ON);
  });

  test("what is no chunk ends it", () => {
    for (const text of [
      "\r\n",
      "g\r\n",
      "-1\r\nab",
      "3\r\nabcd\r\n",
      "3\r\nabc\r\r\n",
      `${"f".repeat(14)}\r\n`,
      "1;".padEnd(5000, "x"),
      "0\r\n".padEnd(5000, "x"),
    ]) {
      assert.equal(decode(text).what, BODY_MALFORMED, text.slice(0, 20));
    }
  });
});

/** What a stream hears of a server that writes `pieces`, one read each. */
async function hear(t: TestContext, pieces: readonly string[], ends = true): Promise<string[]> {
  const heard: string[] = [];
  const closed = Promise.withResolvers<void>();
  const server = createServer((socket) => void answer(socket, pieces, ends, heard));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const stream = new PeerStream(
    `http://127.0.0.1:${port}`,
    "/path",
    { "X-A": "b" },
    {
      answered: (status, headers) => heard.push(`${status} ${JSON.stringify(headers)}`),
      data: (bytes, start, end) => {
        // slice() of a Buffer would be no copy, and change with the next read.
        if (Buffer.isBuffer(bytes)) heard.push("a Buffer");
        heard.push(Buffer.from(bytes.subarray(start, end)).toString());
      },
      closed: (error) => {
        heard.push(error?.message ?? "complete");
        closed.resolve();
      },
    },
  );
  t.after(() => stream.destroy());
  await closed.promise;
  return heard.map((line) => line.replaceAll(String(port), "PORT"));
}

async function answer(
  socket: Socket,
  pieces: readonly string[],
  ends: boolean,
  heard: string[],
): Promise<void> {
  socket.setNoDelay(true);
  const [request] = (await once(socket)) as [Buffer];
  heard.push(request.toString());
  for (const piece of pieces) {
    await new Promise((resolve) => socket.write(piece, "latin1", resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (ends) socket.end();
}

function once(socket: Socket): Promise<unknown[]> {
  return new Promise((resolve) => socket.once("data", (...args) => resolve(args)));
}

const REQUEST = "GET /path HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-A: b\r\n\r\n";

describe("stream of a peer", () => {
  test("head in pieces, chunks, end", async (t) => {
    const pieces = [
      "HTTP/1.1 200 OK\r\nX-Y:  z \r\nTransfer-Enc",
      "oding: chunked\r\n\r",
      "\n3\r\nabc\r\n0\r\n\r\n",
    ];
    const heard = await hear(t, pieces, false);
    const headers = '{"x-y":"z","transfer-encoding":"chunked"}';
    assert.equal(heard.shift(), REQUEST);
    assert.equal(heard.shift(), `200 ${headers}`);
    assert.equal(heard.pop(), "complete", "without the peer's closing the connection");
    assert.equal(heard.join(""), "abc");
  });

  test("a refusal has a length, or the end of the connection", async (t) => {
    const known = await hear(t, ["HTTP/1.1 410 Gone\r\nContent-Length: 3\r\n\r\nno\nmore"], false);
    assert.deepEqual(known.slice(1), ['410 {"content-length":"3"}', "no\n", "complete"]);
    const empty = await hear(t, ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"], false);
    assert.deepEqual(empty.slice(1), ['404 {"content-length":"0"}', "complete"]);
    const cut = await hear(t, ["HTTP/1.1 412 \r\nContent-Length: 30\r\n\r\nno"]);
    assert.deepEqual(cut.slice(1), ['412 {"content-length":"30"}', "no", "unexpected EOF"]);
  });

  test("what is no answer, or is cut off, ends it with a cause", async (t) => {
    const last = async (...pieces: string[]): Promise<string | undefined> => (await hear(t, pieces)).at(-1);
    assert.equal(await last(), "unexpected EOF");
    assert.equal(await last("HTTP/1.1 200 OK\r\n"), "unexpected EOF");
    assert.equal(await last("SSH-2.0-x\r\n\r\n"), "malformed HTTP response");
    assert.equal(await last("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), "malformed HTTP response");
    assert.equal(await last("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), "malformed HTTP response");
    const chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n";
    assert.equal(await last(`${chunked}5\r\nab`), "unexpected EOF");
    assert.equal(await last(`${chunked}5\r\nhello!`), "malformed chunk");
    assert.equal(await last(`HTTP/1.1 200 OK\r\n`, "x".repeat(70_000)), "header block too long");
  });
});
