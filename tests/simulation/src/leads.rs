//! The leads of a world: rows as Microsoft writes them, in every form that was seen, and some that were not.
//!
//! Each lead is known by its marker, a short word that is in its row key and in its customer's name, so that whoever
//! reads a mail can tell which leads are in it.

use crate::config::LeadKind;
use crate::tape::Tape;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::lead::{Day, Lead};
use marketplace_leads::quarantine::Quarantined;
use marketplace_leads::table::{Entity, Value};
use serde_json::json;
use std::collections::BTreeSet;

/// The offers' ids and titles. A lead is for one of them, and routes name some of them.
pub const OFFERS: [(&str, &str); 4] = [
    ("contoso.backup", "Contoso Backup"),
    ("contoso.vm-image", "Contoso VM"),
    ("fabrikam.desk", "Fabrikam Desk"),
    ("fabrikam.sync", "Fabrikam Sync"),
];

/// The action codes. A lead has one of them, and routes name some of them.
pub const ACTIONS: [&str; 4] = ["INS", "PLT", "Create", "StartTestDrive"];

/// How many characters of a row's key every mail shows.
pub const NAME: usize = 22;

/// How many people come again and again.
pub const PEOPLE: u32 = 2;

/// The address of one of them.
pub fn address(person: u32) -> String {
    format!("person{person}@fabrikam.example")
}

/// A word that the mail service may refuse.
pub const POISON: &str = "x5o-poison-p%@ap";

/// The marker of a lead.
pub fn marker(number: usize) -> String {
    format!("q{number:06}z")
}

/// The numbers of the leads whose markers are in a text.
pub fn markers(text: &[u8]) -> BTreeSet<usize> {
    let digits = |word: &[u8]| {
        word.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + usize::from(byte - b'0')))
    };
    let words = text.windows(8).filter(|word| word[0] == b'q' && word[7] == b'z');
    words.filter_map(|word| digits(&word[1..7])).collect()
}

/// A row to be written, with what the oracle has to know of it.
pub struct NewLead {
    /// The row.
    pub entity: Entity,
    /// What kind of lead it is.
    pub kind: LeadKind,
    /// Which of [`OFFERS`] it is for; `None` where it is for none.
    pub offer: Option<usize>,
    /// Its action code; `None` where it has none that a route could name.
    pub action: Option<&'static str>,
    /// Which of the people who come again it is, if any.
    pub person: Option<u32>,
    /// How a mail that does not show it names what is no lead: the beginning of its row's key.
    pub name: Option<String>,
    /// The body by HTTPS instead of a row, with when it was received.
    pub body: Option<(Timestamp, String)>,
}

/// The forms that the leads of a kind can have; those that come at the same moment have the same.
pub const FORMS: u32 = 40;

/// Draws a lead that is written now.
pub fn draw(
    tape: &mut Tape,
    (kind, form): (LeadKind, u32),
    number: usize,
    now: Timestamp,
    is_poisoned: bool,
) -> NewLead {
    let marker = marker(number);
    let offer = tape.below(4) as usize;
    let (offer_id, offer_title) = OFFERS[offer];
    let action = if kind == LeadKind::DoNotContact { "DNC" } else { tape.pick(&ACTIONS) };
    // Long titles are of people who come again, whose rows in the contact index they would fill.
    let is_of_the_same = kind == LeadKind::HugeText && (form % 2 == 0 || form / 10 == 1);
    let comes_again = kind == LeadKind::SamePerson || kind == LeadKind::OddTime || is_of_the_same;
    let person = comes_again.then(|| tape.below(PEOPLE));
    let mut first = marker.clone();
    let mut last = "Doe".to_owned();
    let mut email = person.map_or_else(|| format!("{marker}@fabrikam.example"), address);
    let mut company = "Fabrikam".to_owned();
    let mut description = tape.pick(&["", "Campaigns: ", "{\"mktcmpid\":\"spring\"}", "Please call."]).to_owned();
    let mut source = format!("{}-{action}|{offer_id}", tape.pick(&["AzureMarketplace", "SPZA", "AzurePortal"]));
    let mut title = tape.pick(&[offer_title, offer_title, ""]).to_owned();
    let mut action_code = tape.pick(&[action, action, ""]).to_owned();
    let mut created = Value::String(written(tape, now));
    let mut day = Day::of(now + SignedDuration::from_hours(tape.pick(&[0, 0, -12, 14])));
    let mut partition = None;
    let mut is_for_an_offer = true;
    match kind {
        LeadKind::Plain | LeadKind::SamePerson | LeadKind::DoNotContact | LeadKind::HalfPair => {}
        LeadKind::Withheld => {
            (first, last, company) = <(String, String, String)>::default();
            email = tape.pick(&["", "someone@school.edu"]).to_owned();
        }
        LeadKind::Test => email = format!("MSFT_TEST_{number}@test.com"),
        LeadKind::OddText => {
            let odd = ["<b>&amp;</b>\"'", "\u{202e}\u{ad}\u{200b}", "=cmd|' /C'!A0", "\r\nBcc: x@y.example", "🧟\u{0}"];
            last = tape.pick(&odd).to_owned();
            company = tape.pick(&odd).to_owned();
            description = tape.pick(&odd).repeat(tape.pick(&[1, 1, 50]));
        }
        LeadKind::HugeText => {
            let filling = ["a", "\"", "\u{ad}", "\u{1}", "😀"][(form / 2 % 5) as usize];
            let count = 30_000 / filling.encode_utf16().count();
            match form / 10 {
                0 => description = filling.repeat(count),
                1 => title = format!("{offer_title}{}", filling.repeat(count)),
                2 => {
                    source = format!("SPZA-{action}|{offer_id}{}", filling.repeat(count));
                    title.clear();
                    is_for_an_offer = false;
                }
                _ => action_code = format!("{action}{}", filling.repeat(count)),
            }
        }
        LeadKind::OddTime => {
            created = Value::String(
                tape.pick(&[
                    "-009999-01-02T12:00:00Z",
                    "9999-12-30T00:00:00Z",
                    "0001-01-01T00:00:00",
                    "not a time",
                    "1/1/0001 12:00:00 AM",
                ])
                .to_owned(),
            );
        }
        LeadKind::OddAddress => {
            // Each of these labels takes two bytes here and seven characters in a mail's header.
            email = format!("{}@{}example", "l".repeat(60), "ü.".repeat(tape.pick(&[1, 20, 60])));
        }
        LeadKind::Unreadable | LeadKind::OddKey | LeadKind::OldDay | LeadKind::Redelivered => {}
        LeadKind::Quarantined | LeadKind::QuarantinedUncued => {}
        LeadKind::Https | LeadKind::HttpsWithheld | LeadKind::HttpsHostile | LeadKind::HttpsRecorded => {}
    }
    if is_poisoned {
        description = format!("{POISON} {description}");
    }
    let mut customer = json!({"FirstName": first, "LastName": last, "Email": email, "Phone": "16175555555",
        "Country": "US", "Company": company, "Title": "CTO"});
    match kind {
        LeadKind::OddKey => {
            let keys = ["leads", "", "2026-11-03", "it's", "Ünïcode 🧟", "11:2F03:2F2026"];
            partition = Some(tape.pick(&keys).to_owned());
        }
        LeadKind::OldDay => day = Day::of(now - SignedDuration::from_hours(24 * i64::from(2 + tape.below(40)))),
        LeadKind::Withheld => {
            customer = json!({"Country": "US", "Email": email});
        }
        _ => {}
    }
    let customer = match kind {
        LeadKind::Unreadable => tape.pick(&["not JSON", "[1,2]", "{"]).to_owned(),
        _ => customer.to_string(),
    };
    let entity = Entity::new(partition.unwrap_or_else(|| day.partition_key()), format!("row-{marker}"))
        .with("ActionCode", action_code.as_str())
        .with("CreatedTime", created)
        .with("CustomerInfo", customer)
        .with("Description", description)
        .with("LeadSource", source)
        .with("OfferDisplayName", title);
    let is_lead = kind == LeadKind::Redelivered;
    let body = (is_lead || kind.is_quarantined()).then(|| {
        let age = SignedDuration::from_hours(i64::from(1 + tape.below(24 * 10)));
        // The patrol looks at bodies under the keys of its own days.
        let received = if kind == LeadKind::QuarantinedUncued { now } else { now - age };
        let body = json!({"UserDetails": {"FirstName": marker, "LastName": "Doe", "Email": email},
            "LeadSource": format!("SPZA-{action}|{offer_id}"), "ActionCode": action, "OfferTitle": offer_title});
        (received, if is_lead { body.to_string() } else { format!("{marker} is no lead") })
    });
    let name = body.as_ref().filter(|_| !is_lead).and_then(|(received, body)| {
        let unreadable = Lead::from_json(body.as_bytes()).err()?;
        let row = Quarantined::new(body.as_bytes(), &unreadable.message, *received).row_key;
        Some(row[..NAME].to_owned())
    });
    let is_readable = kind != LeadKind::Unreadable && !kind.is_quarantined();
    NewLead {
        entity,
        kind,
        offer: (is_readable && is_for_an_offer).then_some(offer),
        action: is_readable.then_some(action),
        person,
        name,
        body,
    }
}

/// A time in one of Microsoft's forms.
fn written(tape: &mut Tape, now: Timestamp) -> String {
    let format = tape.pick(&["%Y-%m-%dT%H:%M:%SZ", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p"]);
    now.to_zoned(TimeZone::UTC).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_wherever_they_stand() {
        let text = format!("x{}y row-{} q12z {}", marker(3), marker(999_999), marker(3));
        assert_eq!(markers(text.as_bytes()), BTreeSet::from([3, 999_999]));
        assert_eq!(markers(b""), BTreeSet::new());
    }
}
