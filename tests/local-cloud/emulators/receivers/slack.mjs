// Shows Block Kit readably. It builds elements with text in them, and never HTML.

export function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// What Slack escapes: <https://docs.slack.dev/messaging/formatting-message-text#escaping>
const unescape = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

// The one emoji that our messages use, drawn so that no font is needed. Others stay as they are written.
const NO_ENTRY = ":no_entry:";

const isLink = (url) => /^(https|mailto|tel):/.test(url);

// Links, bold and italic of mrkdwn. What else stands between `<` and `>`, such as a mention, is shown as it is written.
function mrkdwn(text) {
  const parts = text.split(/(<[^>]*>|\*[^*\n<>]+\*|:no_entry:|_[^_\n<>]+_)/);
  return parts.filter(Boolean).map((part) => {
    const [, url, title] = part.match(/^<([^|>]+)\|?([^>]*)>$/) ?? [];
    if (url && isLink(url)) return element("a", { href: unescape(url) }, unescape(title || url));
    if (/^\*.+\*$/s.test(part)) return element("b", {}, unescape(part.slice(1, -1)));
    if (/^_.+_$/s.test(part)) return element("i", {}, unescape(part.slice(1, -1)));
    if (part === NO_ENTRY) return element("span", { className: "no-entry", title: NO_ENTRY });
    return unescape(part);
  });
}

function textOf(object) {
  return object.type === "mrkdwn" ? mrkdwn(object.text) : [unescape(object.text)];
}

function button(given) {
  const title = textOf(given.text);
  return given.url && isLink(given.url)
    ? element("a", { className: "button", href: given.url }, ...title)
    : element("span", { className: "button" }, ...title);
}

const BLOCKS = {
  header: (block) => [element("h3", {}, ...textOf(block.text))],
  divider: () => [element("hr", {})],
  section: (block) => [
    ...(block.text ? [element("p", {}, ...textOf(block.text))] : []),
    ...(block.fields ? [element("div", { className: "fields" }, ...block.fields.map((field) => element("p", {}, ...textOf(field))))] : []),
    ...(block.accessory?.type === "button" ? [button(block.accessory)] : []),
  ],
  context: (block) => block.elements.map((text) => element("p", { className: "context" }, ...textOf(text))),
  actions: (block) => block.elements.map(button),
};

export function slackMessage(body) {
  const shown = body.blocks.flatMap((block) =>
    Object.hasOwn(BLOCKS, block.type) ? BLOCKS[block.type](block) : [element("pre", {}, JSON.stringify(block, null, 2))]);
  return element("div", {}, ...shown);
}
