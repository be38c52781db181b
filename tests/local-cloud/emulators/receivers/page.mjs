// Shows what was received, newest first. Whatever a message says gets into the page as text.
import { element, slackMessage } from "./slack.mjs";
import { teamsMessage } from "./teams.mjs";

// `?only=teams` shows that kind alone, without its surroundings: for pictures.
const only = new URLSearchParams(location.search).get("only");
const dark = matchMedia("(prefers-color-scheme: dark)");

function webhookMessage(body) {
  return element("pre", {}, JSON.stringify(body, null, 2));
}

function mail(mail) {
  const frame = element("iframe", { sandbox: "", title: mail.subject });
  frame.srcdoc = mail.body.html ?? "";
  return element("article", { className: "mail" },
    element("p", { className: "about" }, `${mail.subject} · to ${mail.destination.to.join(", ")}`), frame);
}

const KINDS = { webhook: ["Webhook", webhookMessage], teams: ["Teams", teamsMessage], slack: ["Slack", slackMessage] };

function article(message) {
  const verified = message.verified ? " · signature verified by the standardwebhooks library" : "";
  const about = element("p", { className: "about" }, `${message.received}${verified}`);
  const shown = KINDS[message.kind][1](message.body, dark.matches);
  return element("article", { className: message.kind }, ...(only ? [shown] : [about, shown]));
}

function section(title, articles) {
  return element("section", {}, ...(only ? [] : [element("h2", {}, `${title} (${articles.length})`)]), ...articles);
}

async function show() {
  const json = async (path) => (await fetch(path)).json();
  const [messages, mails] = await Promise.all([json("messages"), only ? { emails: [] } : json("mails")]);
  const sections = Object.entries(KINDS)
    .filter(([kind]) => !only || kind === only)
    .map(([kind, [title]]) => section(title, messages.filter((message) => message.kind === kind).reverse().map(article)));
  if (!only) sections.push(section("Mail", mails.emails.reverse().map(mail)));
  document.querySelector("main").replaceChildren(...sections);
}

show();
dark.addEventListener("change", show);
// A picture is made of one message that is there already.
if (!only) new EventSource("events").addEventListener("message", show);
