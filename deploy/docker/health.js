/**
 * The image's health check: ends with 0 when the member in this container is ready to serve (`/readyz`), else with 1 and what
 * the member said. It asks where HEALTH_URL says, else the first of the member's metrics, HTTP or client sockets as its
 * environment has them, else the default socket. A member that is started with flags, or that asks clients for certificates,
 * needs HEALTH_URL or ETCD_LISTEN_METRICS_URLS.
 */
/** Docker gives the check 5 s; this is to say why before it is killed. */
const ANSWER_MS_MAX = 4_000;
/** A member without checks named in it answers with a few hundred bytes. */
const BODY_CHARS_MAX = 4_096;

/** Where the member of this container answers, by its environment. */
function findUrl(env) {
  if (env.HEALTH_URL) return new URL(env.HEALTH_URL);
  const lists = [env.ETCD_LISTEN_METRICS_URLS, env.ETCD_LISTEN_CLIENT_HTTP_URLS, env.ETCD_LISTEN_CLIENT_URLS];
  const first = lists.find((list) => list)?.split(",")[0] ?? "http://127.0.0.1:2379";
  const url = new URL("/readyz", first);
  // A socket on every address is asked on loopback.
  if (url.hostname === "0.0.0.0") url.hostname = "127.0.0.1";
  if (url.hostname === "[::]") url.hostname = "[::1]";
  return url;
}

function end(code, text) {
  console.log(text.trimEnd());
  process.exit(code);
}

const url = findUrl(process.env);
const { get } = process.getBuiltinModule(url.protocol === "https:" ? "node:https" : "node:http");
// It is this container's own member, reached by an address that its certificate need not have.
const request = get(url, { timeout: ANSWER_MS_MAX, rejectUnauthorized: false }, (response) => {
  let body = "";
  response.setEncoding("utf8");
  response.on("data", (text) => {
    body = (body + text).slice(0, BODY_CHARS_MAX);
  });
  response.on("end", () => end(response.statusCode === 200 ? 0 : 1, body));
});
request.on("timeout", () => end(1, `${url}: no answer within ${ANSWER_MS_MAX} ms`));
request.on("error", (error) => end(1, `${url}: ${error.message}`));
