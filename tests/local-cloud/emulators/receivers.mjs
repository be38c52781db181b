// Receives what webhooks, Teams and Slack are sent, and shows it on a page beside the mails.
//
//     PORT=... MODULES=.../node_modules WEBHOOK_KEY=whsec_... INBOX=http://127.0.0.1:.../ node receivers.mjs
//
// POST /webhook, /teams and /slack take messages, as their receivers do. GET /messages gives them as JSON, oldest first; POST
// /clear forgets them; GET / is the page. Signatures of events are verified by the official library of Standard Webhooks.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { PORT, MODULES, WEBHOOK_KEY, INBOX } = process.env;
const { Webhook } = createRequire(MODULES + "/")("standardwebhooks");

// The limits of what is kept in memory.
const MOST_BYTES = 256 * 1024;
const MOST_MESSAGES = 500;

let messages = [];
const listeners = new Set();

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const own = (name) => new URL(`receivers/${name}`, import.meta.url);
const FILES = {
  "/": [own("page.html"), "text/html"],
  "/page.mjs": [own("page.mjs"), "text/javascript"],
  "/teams.mjs": [own("teams.mjs"), "text/javascript"],
  "/slack.mjs": [own("slack.mjs"), "text/javascript"],
  "/adaptivecards.js": [`${MODULES}/adaptivecards/dist/adaptivecards.js`, "text/javascript"],
};

// The status and the body that the real receiver of this kind answers a good message with.
const ACCEPTED = { webhook: [204, ""], teams: [202, ""], slack: [200, "ok"] };

function answer(response, status, body = "", type = "text/plain") {
  response.writeHead(status, {
    "content-type": `${type}; charset=utf-8`,
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  });
  response.end(body);
}

async function read(request) {
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > MOST_BYTES) return null;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

async function receive(kind, request, response) {
  const text = await read(request);
  if (text === null) return answer(response, 413);
  const message = { kind, received: new Date().toISOString(), verified: null, body: null };
  if (kind === "webhook") {
    try {
      new Webhook(WEBHOOK_KEY).verify(text, request.headers);
      message.verified = true;
    } catch {
      return answer(response, 401, "the signature is not right");
    }
    message.id = request.headers["webhook-id"];
  }
  try {
    message.body = JSON.parse(text);
  } catch {
    return answer(response, 400, "not JSON");
  }
  messages.push(message);
  messages = messages.slice(-MOST_MESSAGES);
  for (const listener of listeners) listener.write("data: new\n\n");
  return answer(response, ...ACCEPTED[kind]);
}

async function handle(request, response) {
  // A page of another site that names this machine gets nothing.
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? "")) return answer(response, 403);
  const { pathname } = new URL(request.url, "http://localhost");
  const kind = pathname.slice(1);
  if (request.method === "POST" && Object.hasOwn(ACCEPTED, kind)) return receive(kind, request, response);
  if (request.method === "POST" && pathname === "/clear") {
    messages = [];
    return answer(response, 204);
  }
  if (request.method !== "GET") return answer(response, 405);
  if (pathname === "/messages") return answer(response, 200, JSON.stringify(messages), "application/json");
  if (pathname === "/mails") {
    const store = INBOX ? await (await fetch(new URL("store", INBOX))).text() : '{"emails":[]}';
    return answer(response, 200, store, "application/json");
  }
  if (pathname === "/events") {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write("\n");
    listeners.add(response);
    return response.on("close", () => listeners.delete(response));
  }
  if (!Object.hasOwn(FILES, pathname)) return answer(response, 404);
  const [file, type] = FILES[pathname];
  return answer(response, 200, readFileSync(file), type);
}

const server = createServer((request, response) => {
  handle(request, response).catch(() => response.headersSent || answer(response, 500));
});
server.listen(Number(PORT), "127.0.0.1", () => console.log("receivers listen"));
