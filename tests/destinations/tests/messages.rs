//! What destinations get of every digest and of every fixture: small enough, harmless, and right by the judgement of the
//! libraries that their receivers use.

#![expect(clippy::unwrap_used, reason = "all of this is tests")]

mod foreign;
#[allow(dead_code, reason = "the mails' tests use all of it")]
#[path = "../../../shared/tests/mail/samples.rs"]
mod samples;

use jiff::Timestamp;
use marketplace_leads::destinations::{
    Destination, Kind, MAX_CARD_BYTES, MAX_EVENT_BYTES, MAX_SLACK_BLOCKS, MAX_SLACK_BYTES, Outgoing, Reach,
};
use marketplace_leads::lead::{Lead, StoredLead};
use marketplace_leads::mail::{Digest, DigestLead, RenderSettings};
use marketplace_leads::secret::Secret;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const KEYS: [&str; 2] =
    ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];

/// A text that each field of [`hostile`] holds, and no text of ours does.
const MARK: &str = "ZQX";

fn destinations() -> [Destination; 3] {
    let url = "https://hooks.contoso.example/x";
    [
        json!({"kind": "webhook", "url": url, "secrets": KEYS, "header": {"name": "X-Api-Key", "value": "k"}}),
        json!({"kind": "teams", "url": url}),
        json!({"kind": "slack", "url": url}),
    ]
    .map(|json| Destination::parse(&Secret::new(json.to_string()), Reach::Public).unwrap())
}

/// A lead of which every text tries to be markup, a mention or a link.
fn hostile() -> DigestLead {
    let text = format!(
        "{MARK} [x](http://evil.example) **b** _i_ <at>all</at> <!channel> <!here> <@U123> <https://evil.example|x> \
         @channel http://evil.example *b* `c` ~s~ &lt;!channel&gt; {{{{DATE()}}}} ${{x}} :tada:"
    );
    let json = json!({
        "UserDetails": {
            "FirstName": text, "LastName": text, "Email": text, "Phone": text, "Country": text, "Company": text,
            "Title": text, text.clone(): text,
        },
        "LeadSource": format!("{text}-{text}|{text}"), "ActionCode": text, "OfferTitle": text,
        "Description": format!("{text}\n> {text}\n```\n# {text}\n- {text}"), text.clone(): text,
    });
    samples::lead(&json, 1)
}

/// Every digest by a name: the samples, every fixture that is a lead, and a lead that is hostile in every field.
fn digests() -> Vec<(String, Digest, RenderSettings)> {
    let mut digests: Vec<_> = samples::all()
        .into_iter()
        .chain(samples::all_reduced())
        .map(|(name, digest, settings)| (name.to_owned(), digest, settings))
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/leads");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let before = digests.len();
    for path in paths {
        let Ok(lead) = Lead::from_json(&fs::read(&path).unwrap()) else { continue };
        let stored = StoredLead::received(lead, samples::newest());
        let digest = samples::digest(vec![DigestLead { stored, history: Vec::new() }]);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        digests.push((name, digest, samples::english()));
    }
    assert!(digests.len() > before + 15, "most fixtures are leads");
    digests.push(("hostile in every field".to_owned(), samples::digest(vec![hostile()]), samples::english()));
    digests
}

/// The messages that a destination gets of a digest: one where it fits, else those of its halves.
fn messages(destination: &Destination, digest: &Digest, settings: &RenderSettings, is_reduced: bool) -> Vec<Outgoing> {
    if let Some(message) = destination.message(digest, settings, is_reduced) {
        return vec![message];
    }
    let (mut one, mut other) = (digest.clone(), digest.clone());
    let things = digest.leads.len() + digest.unreadable.len() + digest.quarantined.len();
    if things == 0 {
        return Vec::new();
    }
    assert!(things > 1, "a single thing always fits");
    if digest.leads.len() > 1 || digest.leads.len() < things && digest.leads.len() == 1 {
        let half = digest.leads.len().div_ceil(2);
        one.leads.truncate(half);
        (one.unreadable, one.quarantined) = (Vec::new(), Vec::new());
        other.leads.drain(..half);
    } else {
        one.quarantined = Vec::new();
        other.unreadable = Vec::new();
    }
    [one, other].iter().flat_map(|half| messages(destination, half, settings, is_reduced)).collect()
}

/// Every message with a name, and the digest's leads.
fn all_messages() -> Vec<(String, Kind, Outgoing)> {
    let mut all = Vec::new();
    for (name, digest, settings) in digests() {
        for destination in &destinations() {
            for is_reduced in [false, true] {
                let name = if is_reduced { format!("{name}, reduced") } else { name.clone() };
                let found = messages(destination, &digest, &settings, is_reduced);
                all.extend(found.into_iter().map(|message| (name.clone(), destination.kind(), message)));
            }
        }
    }
    assert!(all.len() > 800, "{} messages", all.len());
    all
}

/// Calls a function with each object within a value.
fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(fields);
            fields.values().for_each(|value| walk(value, visit));
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, visit)),
        _ => {}
    }
}

fn text<'a>(fields: &'a serde_json::Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is_safe_link(url: &str) -> bool {
    let safe = |character: char| character.is_ascii_alphanumeric() || "-._~%@:+".contains(character);
    (url.starts_with("mailto:") || url.starts_with("tel:")) && url.chars().all(safe)
}

/// Whether a text for Slack holds none of the characters that Slack reads as its own.
fn is_escaped(text: &str) -> bool {
    let entities = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
    !entities.contains(['&', '<', '>'])
}

#[test]
fn no_message_is_larger_than_its_receiver_takes() {
    for (name, kind, message) in all_messages() {
        let bytes = message.body.len();
        let most = match kind {
            Kind::Webhook => MAX_EVENT_BYTES,
            Kind::Teams => MAX_CARD_BYTES,
            Kind::Slack => MAX_SLACK_BYTES,
        };
        assert!(bytes < most, "{name}, {kind:?}: {bytes} bytes");
        if kind == Kind::Slack {
            let body: Value = serde_json::from_str(&message.body).unwrap();
            assert!(body["blocks"].as_array().unwrap().len() <= MAX_SLACK_BLOCKS, "{name}");
            walk(&body["blocks"], &mut |fields| {
                let most = match text(fields, "type") {
                    "header" => 150,
                    _ => 3_000,
                };
                let length = |fields: &serde_json::Map<String, Value>| text(fields, "text").encode_utf16().count();
                let own = fields.get("text").and_then(Value::as_object).map_or(0, length);
                assert!(own.max(length(fields)) <= most, "{name}");
                let elements = fields.get("fields").and_then(Value::as_array).map_or(0, Vec::len);
                assert!(elements <= 10, "{name}");
            });
        }
    }
}

#[test]
fn a_card_has_texts_of_leads_in_text_runs_alone_and_no_link_but_ours() {
    let mut marked = 0;
    for (name, _, message) in all_messages().into_iter().filter(|(_, kind, _)| *kind == Kind::Teams) {
        let body: Value = serde_json::from_str(&message.body).unwrap();
        walk(&body, &mut |fields| {
            for (field, value) in fields.iter().filter_map(|(field, value)| Some((field, value.as_str()?))) {
                if value.contains(MARK) || value.contains("evil") {
                    assert_eq!((text(fields, "type"), field.as_str()), ("TextRun", "text"), "{name}");
                    marked += usize::from(value.contains(MARK));
                }
                if field == "url" {
                    assert!(text(fields, "type") == "Action.OpenUrl" && is_safe_link(value), "{name}: {value}");
                }
                assert!(
                    !["entities", "selectAction", "iconUrl", "backgroundImage"].contains(&field.as_str()),
                    "{name}"
                );
            }
        });
    }
    assert!(marked > 5, "the mark is in {marked} runs");
}

#[test]
fn blocks_have_texts_of_leads_in_plain_text_alone_escaped_and_no_link_or_mention_but_ours() {
    let mut marked = 0;
    for (name, _, message) in all_messages().into_iter().filter(|(_, kind, _)| *kind == Kind::Slack) {
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body["mrkdwn"], false);
        assert!(is_escaped(body["text"].as_str().unwrap()), "{name}");
        walk(&body["blocks"], &mut |fields| match text(fields, "type") {
            "plain_text" => {
                assert!(is_escaped(text(fields, "text")), "{name}: {}", text(fields, "text"));
                assert_eq!(fields["emoji"], false, "{name}");
                marked += usize::from(text(fields, "text").contains(MARK));
            }
            "mrkdwn" => {
                let mut rest = text(fields, "text").to_owned();
                assert!(!rest.contains(MARK), "{name}");
                assert_eq!(fields["verbatim"], true, "{name}");
                while let Some((before, after)) = rest.split_once('<') {
                    let (link, next) = after.split_once('>').unwrap();
                    let (url, title) = link.split_once('|').unwrap();
                    assert!(is_safe_link(url) && is_escaped(title), "{name}: {link}");
                    rest = format!("{before}{next}");
                }
                assert!(is_escaped(&rest), "{name}: {rest}");
            }
            _ => assert!(!text(fields, "text").contains(MARK), "{name}"),
        });
    }
    assert!(marked > 5, "the mark is in {marked} texts");
}

#[test]
fn who_must_not_be_contacted_has_no_link() {
    let all = all_messages();
    let of = |name: &str| -> Vec<_> { all.iter().filter(|(known, ..)| known == name).cloned().collect() };
    for (_, kind, message) in of("do not contact") {
        let has_link = ["mailto:", "tel:"].iter().any(|scheme| message.body.contains(scheme));
        assert!(!has_link, "{kind:?}");
        assert!(kind == Kind::Webhook || message.body.contains("Do not contact"), "{kind:?}");
        assert!(kind != Kind::Webhook || message.body.contains(r#""do_not_contact":true"#));
    }
    let others = of("one lead");
    let links = others.iter().filter(|(_, _, message)| message.body.contains("mailto:ada.lindqvist@fabrikam.com"));
    assert_eq!(links.count(), 2, "others have one, in Teams and in Slack");
}

#[test]
fn an_event_holds_the_whole_lead_and_says_what_it_had_to_shorten() {
    let [webhook, ..] = destinations();
    let data = |lead: DigestLead, is_reduced| -> Value {
        let message = webhook.message(&samples::digest(vec![lead]), &samples::english(), is_reduced).unwrap();
        serde_json::from_str::<Value>(&message.body).unwrap()["data"].clone()
    };
    let whole = data(samples::hostile(), false);
    assert_eq!(whole["shortened"], json!(["lead.description"]));
    assert_eq!(whole["lead"]["customer"]["first_name"], "<img src=x onerror=alert(1)>");
    let known = data(samples::known(), false);
    assert_eq!(known["shortened"], json!([]));
    assert_eq!(known["earlier_actions"][0]["action"], json!({"kind": "test_drive", "code": "StartTestDrive"}));
    assert_eq!(known["lead"]["campaign"][0], json!({"name": "mktcmpid", "value": "autumn-webinar"}));
    let reduced = data(samples::ada(), true);
    assert!(reduced["reduced"] == true && !reduced.to_string().contains("Ada"), "{reduced}");
    assert_eq!(reduced["lead"]["row_key"], samples::ada().stored.keys.row);
}

#[test]
fn the_libraries_of_the_receivers_take_every_message_and_none_that_is_changed() {
    let now = Timestamp::now();
    let destinations = destinations();
    let mut judged = Vec::new();
    for (name, kind, message) in all_messages() {
        let destination = destinations.iter().find(|destination| destination.kind() == kind).unwrap();
        let post = destination.post(&message, now);
        let headers: serde_json::Map<_, _> =
            post.headers.iter().map(|(name, value)| (name.clone(), value.expose().into())).collect();
        judged.push(json!({
            "name": name, "kind": kind.name(), "good": true, "body": post.body, "headers": headers, "keys": KEYS,
        }));
    }
    for (kind, name, change) in [
        ("webhook", "another body", ("version\":1", "version\":1 ")),
        ("teams", "another element", ("TextRun", "TextRan")),
        ("teams", "an unknown size", ("\"size\":\"Large\"", "\"size\":\"Huge\"")),
        ("slack", "another block", ("\"type\":\"header\"", "\"type\":\"headline\"")),
    ] {
        let mut changed = judged.iter().find(|message| message["kind"] == kind).unwrap().clone();
        let body = changed["body"].as_str().unwrap().replace(change.0, change.1);
        assert_ne!(changed["body"], body, "{name}");
        (changed["name"], changed["good"], changed["body"]) = (name.into(), false.into(), body.into());
        judged.push(changed);
    }
    let old = destinations[0].post(
        &messages(&destinations[0], &samples::digest(vec![samples::ada()]), &samples::english(), false)[0],
        now - jiff::SignedDuration::from_mins(6),
    );
    let headers: serde_json::Map<_, _> =
        old.headers.iter().map(|(name, value)| (name.clone(), value.expose().into())).collect();
    judged.push(json!({
        "name": "too old", "kind": "webhook", "good": false, "body": old.body, "headers": headers, "keys": KEYS,
    }));
    // An event with a field that is not documented, rightly signed.
    let undocumented =
        Outgoing { body: old.body.replacen("\"data\":{", "\"data\":{\"extra\":1,", 1), id: "lead_1".into() };
    let signed = destinations[0].post(&undocumented, now);
    let headers: serde_json::Map<_, _> =
        signed.headers.iter().map(|(name, value)| (name.clone(), value.expose().into())).collect();
    judged.push(json!({
        "name": "an undocumented field", "kind": "webhook", "good": false, "is_about_schema": true, "body": signed.body,
        "headers": headers, "keys": KEYS,
    }));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("messages.json");
    fs::write(&file, json!(judged).to_string()).unwrap();
    foreign::python(&file);
    foreign::node(&file);
}
