//! What Slack gets: a message of Block Kit.
//!
//! What a lead says stands in `plain_text`, which reads no markup; `mrkdwn` holds our own words, and links that we made of
//! checked addresses. Both are escaped, since Slack reads `<!channel>` and the like as mentions.
//!
//! <https://docs.slack.dev/messaging/formatting-message-text>, <https://docs.slack.dev/reference/block-kit/blocks>

use super::message::{MAX_SLACK_BLOCKS, MAX_SLACK_BYTES, things};
use crate::mail::{
    CHAT_STEPS, Digest, EntryView, LeadView, Phrases, RenderSettings, TableView, View, chat, chat_reduced,
};
use serde_json::{Value, json};

/// The most characters of a section's text.
const MAX_SECTION: usize = 3_000;

/// The most characters of a header.
const MAX_HEADER: usize = 150;

/// The most characters of a field, of which a section has ten at most.
const MAX_FIELD: usize = 2_000;

/// A digest as a message of blocks; `None` where it is too large and can be halved.
pub(super) fn blocks(digest: &Digest, settings: &RenderSettings, is_reduced: bool) -> Option<String> {
    let is_single = things(digest) <= 1;
    if !is_reduced {
        for step in 0..if is_single { CHAT_STEPS } else { 1 } {
            let (blocks, body) = message(&chat(digest, settings, step));
            if blocks <= MAX_SLACK_BLOCKS && body.len() < MAX_SLACK_BYTES {
                return Some(body);
            }
        }
        if !is_single {
            return None;
        }
    }
    let (blocks, body) = message(&chat_reduced(digest, settings));
    (is_single || blocks <= MAX_SLACK_BLOCKS && body.len() < MAX_SLACK_BYTES).then_some(body)
}

/// The message, with the number of its blocks.
fn message(view: &View) -> (usize, String) {
    let heading = match view.flags.as_str() {
        "" => view.heading.clone(),
        flags => format!("{} ({flags})", view.heading),
    };
    let mut blocks = vec![header(&heading)];
    blocks.extend(view.notices.iter().map(|notice| context(&[plain(notice, MAX_SECTION)])));
    for group in &view.groups {
        blocks.push(json!({ "type": "divider" }));
        blocks.push(header(&group.name));
        if !group.ids.is_empty() {
            blocks.push(context(&[plain(&group.ids, MAX_SECTION)]));
        }
        for lead in &group.leads {
            blocks.extend(lead_blocks(view.p, lead));
        }
    }
    for section in &view.sections {
        blocks.push(header(&section.heading));
        blocks.push(context(&[plain(&section.why, MAX_SECTION)]));
        blocks.extend(section.entries.iter().map(|entry| entry_block(view.p, entry)));
        blocks.extend(section.more.iter().map(|more| context(&[plain(more, MAX_SECTION)])));
    }
    blocks.push(context(&[plain(&view.footer.join(" "), MAX_SECTION)]));
    let count = blocks.len();
    let message = json!({
        // What notifications show. It is no markup, whatever a lead's offer is called.
        "text": escape(&view.title, MAX_SECTION),
        "mrkdwn": false,
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    });
    (count, message.to_string())
}

/// One lead: who, what, when, what they wrote, and how to reach them.
fn lead_blocks(p: &Phrases, lead: &LeadView) -> Vec<Value> {
    let mut blocks = Vec::new();
    let who = std::iter::once(lead.name.clone()).chain((!lead.about.is_empty()).then(|| lead.about.join(" · ")));
    let what = [lead.action.as_str(), &lead.marketplace, &lead.time];
    let what: Vec<_> = what.into_iter().filter(|part| !part.is_empty()).collect();
    let lines: Vec<_> =
        who.chain([what.join(" · ")]).chain(lead.same_request.clone()).chain(lead.earlier_actions.clone()).collect();
    let mut section = section(&lines.join("\n"));
    let email = lead.email.iter().map(|email| {
        let domain = email.domain.iter().map(|domain| format!(" ({domain})")).collect::<String>();
        (&p.lead.email, format!("{}{domain}", email.text))
    });
    let phone = lead.phone.iter().map(|phone| (&p.lead.phone, phone.text.clone()));
    let fields: Vec<_> =
        email.chain(phone).map(|(name, value)| plain(&format!("{name}\n{value}"), MAX_FIELD)).collect();
    if !fields.is_empty() {
        section["fields"] = fields.into();
    }
    let mut badges: Vec<_> = lead.badges.iter().map(|badge| bold(badge)).collect();
    if lead.do_not_contact {
        let why = escape(&p.lead.do_not_contact_why, MAX_SECTION / 3);
        badges.insert(0, format!(":no_entry: {} {why}", bold(&p.lead.do_not_contact)));
    }
    if lead.withheld {
        badges.push(escape(&p.lead.withheld_why, MAX_SECTION / 3));
    }
    if !badges.is_empty() {
        blocks.push(json!({ "type": "section", "text": markup(&badges.join("  ")) }));
    }
    blocks.push(section);
    if !lead.note.is_empty() {
        blocks.push(self::section(&format!("{}\n{}", p.lead.note, lead.note.join("\n"))));
    }
    blocks.extend(lead.tables.iter().map(table));
    let links = [
        (&p.chat.write, lead.email.as_ref().and_then(|email| email.link.as_ref())),
        (&p.chat.call, lead.phone.as_ref().and_then(|phone| phone.link.as_ref())),
    ];
    let links = links.into_iter().filter(|_| !lead.do_not_contact).filter_map(|(title, link)| {
        // Such an address holds no character that Slack reads as markup.
        link.map(|url| format!("<{url}|{}>", escape(title, MAX_HEADER)))
    });
    let links = links.collect::<Vec<_>>().join("  ·  ");
    let mut elements = Vec::new();
    elements.extend((!links.is_empty()).then(|| markup(&links)));
    elements.push(plain(&lead.row, MAX_SECTION));
    elements.extend(lead.shortened.then(|| plain(&p.chat.shortened, MAX_SECTION)));
    blocks.push(context(&elements));
    blocks
}

fn table(table: &TableView) -> Value {
    let rows = table.rows.iter().map(|(name, value)| format!("{name}: {value}"));
    section(&std::iter::once(table.heading.clone()).chain(rows).collect::<Vec<_>>().join("\n"))
}

fn entry_block(p: &Phrases, entry: &EntryView) -> Value {
    let reason = (!entry.reason.is_empty()).then(|| format!("{}: {}", p.unreadable.reason, entry.reason));
    let columns = entry.columns.iter().map(|(name, value)| format!("{name}: {value}"));
    let shortened = entry.shortened.then(|| p.unreadable.shortened.clone());
    let lines = [entry.row.clone(), entry.about.clone()]
        .into_iter()
        .chain(reason)
        .chain(columns)
        .chain(entry.excerpt.iter().cloned())
        .chain(shortened)
        .filter(|line| !line.is_empty());
    section(&lines.collect::<Vec<_>>().join("\n"))
}

fn header(text: &str) -> Value {
    json!({ "type": "header", "text": plain(text, MAX_HEADER) })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": plain(text, MAX_SECTION) })
}

fn context(elements: &[Value]) -> Value {
    json!({ "type": "context", "elements": elements })
}

/// A text that is no markup.
fn plain(text: &str, most: usize) -> Value {
    let text = escape(text, most);
    // Slack refuses an empty text.
    json!({ "type": "plain_text", "text": if text.is_empty() { " " } else { text.as_str() }, "emoji": false })
}

/// Markup that we made ourselves.
fn markup(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

fn bold(text: &str) -> String {
    format!("*{}*", escape(text, MAX_HEADER))
}

/// A text with the three characters escaped that Slack reads as its own, and cut to `most` characters as it is then. It is
/// never cut within an entity.
fn escape(text: &str, most: usize) -> String {
    const ELLIPSIS: &str = "…";
    let mut escaped = String::with_capacity(text.len());
    let mut units = 0;
    // Where the text could be cut, with room for an ellipsis.
    let mut end = 0;
    for character in text.chars() {
        let mut buffer = [0; 4];
        let part = match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => character.encode_utf8(&mut buffer),
        };
        // Slack counts as JavaScript does.
        units += part.encode_utf16().count();
        if units > most {
            escaped.truncate(end);
            return escaped + ELLIPSIS;
        }
        escaped.push_str(part);
        if units < most {
            end = escaped.len();
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_escaped_first_and_cut_then_never_within_an_entity() {
        for (text, most, expected) in [
            ("<!channel> & <@U1>", 100, "&lt;!channel&gt; &amp; &lt;@U1&gt;"),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("a<<<", 10, "a&lt;&lt;…"),
            ("a<<<", 9, "a&lt;…"),
            ("&&", 5, "…"),
            ("&&", 6, "&amp;…"),
            ("😀😀", 3, "😀…"),
            ("", 3, ""),
        ] {
            assert_eq!(escape(text, most), expected, "{text:?} {most}");
        }
    }
}
