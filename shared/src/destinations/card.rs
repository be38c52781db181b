//! What Microsoft Teams gets: a message with one Adaptive Card.
//!
//! A `TextBlock` reads Markdown, so it holds our own words only. What a lead says stands in `TextRun`s, which read none.
//!
//! <https://learn.microsoft.com/adaptive-cards/schema-explorer/adaptive-card>

use super::message::{MAX_CARD_BYTES, things};
use crate::mail::{
    CHAT_STEPS, Digest, EntryView, GroupView, LeadView, Phrases, RenderSettings, View, chat, chat_reduced,
};
use serde_json::{Value, json};

/// A digest as a message with a card; `None` where it is too large and can be halved.
pub(super) fn card(digest: &Digest, settings: &RenderSettings, is_reduced: bool) -> Option<String> {
    if !is_reduced {
        // What holds several leads is halved before their texts are shortened much.
        let steps = if things(digest) > 1 { 1 } else { CHAT_STEPS };
        for step in 0..steps {
            let body = message(&chat(digest, settings, step));
            if body.len() < MAX_CARD_BYTES {
                return Some(body);
            }
        }
        if things(digest) > 1 {
            return None;
        }
    }
    let body = message(&chat_reduced(digest, settings));
    (body.len() < MAX_CARD_BYTES || things(digest) <= 1).then_some(body)
}

fn message(view: &View) -> String {
    let mut body = vec![json!({
        "type": "TextBlock", "text": heading(view), "size": "Large", "weight": "Bolder", "wrap": true,
    })];
    body.extend(view.notices.iter().map(|notice| text(&[run(notice, &[("color", "Accent")])], false)));
    for group in &view.groups {
        body.extend(group_items(view, group));
    }
    for section in &view.sections {
        body.push(json!({
            "type": "TextBlock", "text": section.heading, "weight": "Bolder", "wrap": true, "separator": true,
        }));
        body.push(
            json!({ "type": "TextBlock", "text": section.why, "isSubtle": true, "wrap": true, "spacing": "None" }),
        );
        for entry in &section.entries {
            body.extend(entry_items(view.p, entry));
        }
        body.extend(section.more.iter().map(|more| text(&[run(more, &[])], true)));
    }
    body.push(text(&[run(&view.footer.join(" "), SUBTLE)], true));
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "msteams": { "width": "Full" },
    });
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card,
    });
    json!({ "type": "message", "summary": heading(view), "attachments": [attachment] }).to_string()
}

/// How many leads there are, and of what kind, in our own words.
fn heading(view: &View) -> String {
    match view.flags.as_str() {
        "" => view.heading.clone(),
        flags => format!("{} ({flags})", view.heading),
    }
}

const SUBTLE: &[(&str, &str)] = &[("size", "Small"), ("subtle", "")];

/// A run of text that is read as it is.
fn run(text: &str, looks: &[(&str, &str)]) -> Value {
    // A card with an empty run is refused.
    let mut run = json!({ "type": "TextRun", "text": if text.is_empty() { " " } else { text } });
    for (name, value) in looks {
        match *name {
            "subtle" => run["isSubtle"] = true.into(),
            "italic" => run["italic"] = true.into(),
            name => run[name] = (*value).into(),
        }
    }
    run
}

fn text(runs: &[Value], is_close: bool) -> Value {
    let mut block = json!({ "type": "RichTextBlock", "inlines": runs });
    if is_close {
        block["spacing"] = "Small".into();
    }
    block
}

fn group_items(view: &View, group: &GroupView) -> Vec<Value> {
    let mut name = vec![run(&group.name, &[("size", "Medium"), ("weight", "Bolder"), ("color", "Accent")])];
    if !group.ids.is_empty() {
        name.push(run(&format!("  {}", group.ids), SUBTLE));
    }
    let mut block = text(&name, false);
    block["separator"] = true.into();
    std::iter::once(block).chain(group.leads.iter().map(|lead| lead_item(view.p, lead))).collect()
}

/// One lead: who, what, when, what they wrote, and how to reach them.
fn lead_item(p: &Phrases, lead: &LeadView) -> Value {
    let mut who = vec![run(&lead.name, &[("weight", "Bolder")])];
    if !lead.about.is_empty() {
        who.push(run(&format!("  {}", lead.about.join(" · ")), &[("subtle", "")]));
    }
    let mut items = vec![text(&who, false)];
    if lead.do_not_contact {
        let why = run(&format!("  {}", p.lead.do_not_contact_why), &[]);
        let badge = run(&p.lead.do_not_contact, &[("weight", "Bolder")]);
        items.push(text(&[badge, why], true));
    }
    if !lead.badges.is_empty() {
        let badges = run(&lead.badges.join(" · "), &[("weight", "Bolder"), ("color", "Accent")]);
        items.push(text(&[badges], true));
    }
    if lead.withheld {
        items.push(text(&[run(&p.lead.withheld_why, SUBTLE)], true));
    }
    let what = [lead.action.as_str(), &lead.marketplace, &lead.time];
    let what: Vec<_> = what.into_iter().filter(|part| !part.is_empty()).collect();
    items.push(text(&[run(&what.join(" · "), &[])], true));
    for repeat in [&lead.same_request, &lead.earlier_actions].into_iter().flatten() {
        items.push(text(&[run(repeat, &[("color", "Accent")])], true));
    }
    items.extend(
        lead.note.iter().filter(|line| !line.is_empty()).map(|line| text(&[run(line, &[("italic", "")])], true)),
    );
    if let Some(email) = &lead.email {
        let domain = email.domain.iter().map(|domain| run(&format!("  {domain}"), &[("color", "Accent")]));
        let runs: Vec<_> = labelled(&p.lead.email, &email.text).into_iter().chain(domain).collect();
        items.push(text(&runs, true));
    }
    if let Some(phone) = &lead.phone {
        items.push(text(&labelled(&p.lead.phone, &phone.text), true));
    }
    for table in &lead.tables {
        items.push(text(&[run(&table.heading, &[("weight", "Bolder"), ("size", "Small")])], true));
        items.extend(table.rows.iter().map(|(name, value)| text(&labelled(name, value), true)));
    }
    let links = [
        (&p.chat.write, lead.email.as_ref().and_then(|email| email.link.as_ref())),
        (&p.chat.call, lead.phone.as_ref().and_then(|phone| phone.link.as_ref())),
    ];
    let actions: Vec<_> = links
        .into_iter()
        .filter_map(|(title, link)| link.map(|url| json!({ "type": "Action.OpenUrl", "title": title, "url": url })))
        .collect();
    if !actions.is_empty() && !lead.do_not_contact {
        items.push(json!({ "type": "ActionSet", "actions": actions }));
    }
    let shortened = if lead.shortened { format!("  {}", p.chat.shortened) } else { String::new() };
    items.push(text(&[run(&format!("{}{shortened}", lead.row), SUBTLE)], true));
    let mut container = json!({ "type": "Container", "items": items, "separator": true });
    if lead.do_not_contact {
        container["style"] = "attention".into();
    }
    container
}

fn labelled(name: &str, value: &str) -> Vec<Value> {
    vec![run(&format!("{name}: "), &[("subtle", "")]), run(value, &[])]
}

fn entry_items(p: &Phrases, entry: &EntryView) -> Vec<Value> {
    let mut items = vec![text(&[run(&entry.row, &[("weight", "Bolder")])], true)];
    items.extend((!entry.about.is_empty()).then(|| text(&[run(&entry.about, SUBTLE)], true)));
    items.extend((!entry.reason.is_empty()).then(|| text(&labelled(&p.unreadable.reason, &entry.reason), true)));
    items.extend(entry.columns.iter().map(|(name, value)| text(&labelled(name, value), true)));
    items.extend(entry.excerpt.iter().filter(|line| !line.is_empty()).map(|line| text(&[run(line, &[])], true)));
    items.extend(entry.shortened.then(|| text(&[run(&p.unreadable.shortened, SUBTLE)], true)));
    items
}
