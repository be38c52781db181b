//! What a webhook gets: one event per lead, in the envelope of Standard Webhooks. The form of the data is described by
//! `docs/webhook.schema.json`. Fields may be added to it; none changes its meaning or goes away without a new `version`.

use super::message::Outgoing;
use crate::lead::{Action, StoredLead, UnknownField};
use crate::mail::{Digest, DigestLead, Occasion};
use crate::table::Keys;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The largest body of an event in bytes, as Standard Webhooks recommends it.
pub const MAX_EVENT_BYTES: usize = 20_000;

/// The version of the data.
const VERSION: u32 = 1;

/// How long texts may be, in bytes, and lists. The first step with which the body is small enough is taken.
const STEPS: [(usize, usize); 9] = [
    (usize::MAX, usize::MAX),
    (8_000, 200),
    (4_000, 100),
    (2_000, 50),
    (1_000, 25),
    (400, 12),
    (150, 6),
    (60, 3),
    (20, 1),
];

/// The step without any text.
const NOTHING: (usize, usize) = (0, 0);

/// The event of a digest that holds one thing; `None` where it holds more, or nothing.
pub(super) fn event(digest: &Digest, is_reduced: bool) -> Option<Outgoing> {
    let Digest { leads, unreadable, quarantined, occasion, .. } = digest;
    match (leads.as_slice(), unreadable.as_slice(), quarantined.as_slice()) {
        ([lead], [], []) => Some(lead_created(lead, occasion, is_reduced)),
        ([], [row], []) => Some(lead_unreadable(&row.keys, row.timestamp, &row.reason)),
        ([], [], [body]) => Some(lead_unreadable(&body.keys, body.received, &body.reason)),
        _ => None,
    }
}

/// The id of an event, which stays the same however often it is sent, so that receivers can drop repeats.
fn id(kind: &str, Keys { partition, row }: &Keys) -> String {
    let mut hash = Sha256::new();
    hash.update((partition.len() as u64).to_be_bytes());
    hash.update(partition);
    hash.update(row);
    format!("{kind}_{}", hex::encode(&hash.finalize()[..16]))
}

fn envelope(kind: &str, time: Option<Timestamp>, data: &Value) -> String {
    json!({ "type": kind, "timestamp": time.unwrap_or(Timestamp::UNIX_EPOCH), "data": data }).to_string()
}

fn lead_created(lead: &DigestLead, occasion: &Occasion, is_reduced: bool) -> Outgoing {
    let stored = &lead.stored;
    let id = id("lead", &stored.keys);
    let steps = if is_reduced { &[NOTHING][..] } else { &STEPS };
    let mut body = String::new();
    for step in steps {
        let data = data(lead, occasion, is_reduced, *step);
        body = envelope("lead.created", stored.time(), &data);
        if body.len() < MAX_EVENT_BYTES {
            break;
        }
    }
    Outgoing { id, body }
}

/// Shortens texts and lists, and notes which.
struct Cutter {
    bytes: usize,
    entries: usize,
    shortened: Vec<String>,
}

impl Cutter {
    fn text(&mut self, name: &str, text: &str) -> String {
        if text.len() <= self.bytes {
            return text.to_owned();
        }
        self.note(name);
        if self.bytes == 0 {
            return String::new();
        }
        format!("{}…", &text[..text.floor_char_boundary(self.bytes)])
    }

    fn list<T>(&mut self, name: &str, all: &[T], mut shown: impl FnMut(&mut Self, &T) -> Value) -> Vec<Value> {
        if all.len() > self.entries {
            self.note(name);
        }
        all.iter().take(self.entries).map(|entry| shown(self, entry)).collect()
    }

    fn fields(&mut self, name: &str, fields: &[UnknownField]) -> Vec<Value> {
        self.list(name, fields, |cutter, field| {
            json!({ "name": cutter.text(name, &field.name), "value": cutter.text(name, &field.text()) })
        })
    }

    fn note(&mut self, name: &str) {
        if !self.shortened.iter().any(|noted| noted == name) {
            self.shortened.push(name.to_owned());
        }
    }
}

fn data(
    DigestLead { stored, history }: &DigestLead,
    occasion: &Occasion,
    is_reduced: bool,
    (bytes, entries): (usize, usize),
) -> Value {
    let mut cut = Cutter { bytes, entries, shortened: Vec::new() };
    let StoredLead { lead, keys, timestamp, received, same_request, origin } = stored;
    let source = lead.source();
    let customer = &lead.customer;
    let campaign = lead.campaign().map(|parameters| {
        cut.list("lead.campaign", &parameters, |cutter, (name, value)| {
            json!({ "name": cutter.text("lead.campaign", name), "value": cutter.text("lead.campaign", value) })
        })
    });
    let lead_json = json!({
        "partition_key": keys.partition,
        "row_key": keys.row,
        "time": stored.time(),
        "received": received,
        "written": timestamp,
        "created": cut.text("lead.created", &lead.created_time),
        "origin": origin.name(),
        "action": {
            "kind": action_kind(&lead.action()),
            "code": cut.text("lead.action.code", lead.action().code()),
        },
        "marketplace": cut.text("lead.marketplace", source.marketplace.name()),
        "offer": {
            "id": cut.text("lead.offer.id", &source.offer),
            "title": cut.text("lead.offer.title", &lead.offer_title),
        },
        "lead_source": cut.text("lead.lead_source", &lead.lead_source),
        "customer": {
            "first_name": cut.text("lead.customer.first_name", &customer.first_name),
            "last_name": cut.text("lead.customer.last_name", &customer.last_name),
            "email": cut.text("lead.customer.email", &customer.email),
            "phone": cut.text("lead.customer.phone", &customer.phone),
            "country": cut.text("lead.customer.country", &customer.country),
            "company": cut.text("lead.customer.company", &customer.company),
            "title": cut.text("lead.customer.title", &customer.title),
            "further": cut.fields("lead.customer.further", &customer.unknown),
        },
        "description": cut.text("lead.description", &lead.description),
        "campaign": campaign,
        "further": cut.fields("lead.further", &lead.unknown),
        "do_not_contact": lead.is_do_not_contact(),
        "test": lead.is_test(),
        "withheld": lead.is_withheld(),
    });
    let earlier = cut.list("earlier_actions", history, |cutter, past| {
        json!({
            "time": past.time,
            "action": {
                "kind": action_kind(&Action::parse(&past.action_code)),
                "code": cutter.text("earlier_actions", &past.action_code),
            },
            "offer": cutter.text("earlier_actions", &past.offer),
        })
    });
    json!({
        "version": VERSION,
        "lead": lead_json,
        "earlier_actions": earlier,
        "same_request": same_request,
        "maybe_repeated": *occasion == Occasion::MaybeRepeated,
        "sent_again": matches!(occasion, Occasion::Backfill { .. }),
        "reduced": is_reduced,
        "shortened": cut.shortened,
    })
}

/// What a customer did, in a word that stays the same.
fn action_kind(action: &Action) -> &'static str {
    match action {
        Action::Install => "install",
        Action::ContactMe => "contact_me",
        Action::DoNotContact => "do_not_contact",
        Action::Create => "purchase",
        Action::StartTestDrive => "test_drive",
        Action::Other(_) => "other",
    }
}

/// The event of a row or a body that cannot be read as a lead.
fn lead_unreadable(keys: &Keys, time: Option<Timestamp>, reason: &str) -> Outgoing {
    let Keys { partition, row } = keys;
    let reason = &reason[..reason.floor_char_boundary(2_000)];
    let data = json!({ "version": VERSION, "partition_key": partition, "row_key": row, "reason": reason });
    Outgoing { id: id("row", keys), body: envelope("lead.unreadable", time, &data) }
}
