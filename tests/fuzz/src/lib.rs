//! What must hold for every input, one function for each fuzz target; a failure is a panic. The targets in `targets/` hand
//! over what libFuzzer makes up, `shared/tests/fuzz.rs` what it mutates from the seeds.

#[path = "../../../shared/tests/mail/harmless.rs"]
mod harmless;

use harmless::assert_harmless;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use marketplace_leads::columns;
use marketplace_leads::lead::{Action, Lead, LeadSource, Marketplace, StoredLead, column};
use marketplace_leads::mail::{
    Digest, DigestLead, Language, Occasion, RenderSettings, UnreadableLead, render, render_reduced,
};
use marketplace_leads::notify::Command;
use marketplace_leads::table::azure::{AzureTables, Limits};
use marketplace_leads::table::{ConnectionString, Entity, MAX_STRING_UNITS, Value};
use marketplace_leads::validate::Leads;

/// Stands for a secret or a person that is in an input and must be in nothing that is logged or answered.
const PLANTED: &str = "Pl4nted";

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// A body that is POSTed to intake: read, stored, read again, and mailed.
pub fn lead_body(body: &[u8]) {
    let planted = String::from_utf8_lossy(body).replace('"', &format!("\"{PLANTED}"));
    if let Err(error) = Lead::from_json(planted.as_bytes()) {
        assert!(!error.message.contains(PLANTED), "{}", error.message);
    }
    let Ok(lead) = Lead::from_json(body) else { return };
    assert!(!format!("{lead:?}").contains(PLANTED));
    let stored = StoredLead::received(lead, now());
    assert!(stored.keys.row.len() == 32 && stored.keys.row.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let row = stored.to_entity();
    for (name, value) in &row.properties {
        let Value::String(text) = value else { panic!("{name} is no text") };
        assert!(text.encode_utf16().count() <= MAX_STRING_UNITS, "{name} is too long for a column");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            "{name:?} is no name of a column"
        );
    }
    let again = StoredLead::from_entity(&row).expect("a row of ours can be read");
    assert!(again == stored, "the row gives another lead");
    mailed(stored);
}

/// A row of Microsoft's with this `CustomerInfo`.
pub fn customer_info(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut row = Entity::new("11:2F22:2F2026", "row").with(column::LEAD_SOURCE, "AzureMarketplace-INS|contoso.backup");
    row.set_text(column::CUSTOMER_INFO, &text);
    match StoredLead::from_entity(&row) {
        Ok(stored) => {
            let again = StoredLead::from_entity(&stored.to_entity()).expect("a lead can be written and read");
            assert!(again.lead == stored.lead, "the row gives another lead");
            mailed(stored);
        }
        Err(error) => {
            let unreadable = UnreadableLead {
                keys: row.keys(),
                timestamp: None,
                reason: error.to_string(),
                columns: row.properties.iter().map(|(name, value)| (name.to_string(), value.text())).collect(),
            };
            let digest = Digest { unreadable: vec![unreadable], ..digest(Vec::new()) };
            assert_harmless(&render(&digest, &settings()), 0);
        }
    }
}

/// A `LeadSource`.
pub fn lead_source(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let LeadSource { marketplace, action, offer } = LeadSource::parse(&text);
    assert!(text.contains(&offer) && offer.trim() == offer);
    if let Marketplace::Other(name) = &marketplace {
        assert!(text.contains(name.as_str()) && name.trim() == name);
    }
    if let Action::Other(code) = &action {
        assert!(text.contains(code.as_str()) && code.trim() == code);
    }
    assert_eq!(Action::parse(action.code()), action);
}

/// A connection string. Neither its errors nor its `Debug` hold anything of it.
pub fn connection_string(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let planted = text.replace('=', &format!("={PLANTED}")).replace(';', &format!(";{PLANTED}"));
    for text in [text.as_ref(), &planted, &format!("{PLANTED}{text}")] {
        match ConnectionString::parse(text) {
            Ok(connection) => {
                assert!(!format!("{connection:?}").contains(PLANTED));
                assert!(["http", "https"].contains(&connection.endpoint.scheme()) && connection.endpoint.has_host());
                if let Err(error) = AzureTables::new(&connection, Limits::default()) {
                    assert!(!error.to_string().contains(PLANTED), "{error}");
                }
            }
            Err(error) => assert!(!error.to_string().contains(PLANTED), "{error}"),
        }
    }
}

/// The event of the notifier's invocation.
pub fn notifier_event(bytes: &[u8]) {
    let Ok(mut event) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let check = |event: &serde_json::Value| match Command::parse(event) {
        Ok(command) => {
            if let Command::Backfill { since, until, .. } = &command {
                assert!(since < until);
            }
            if let Command::History { last } = &command {
                assert!((1..=1000).contains(last));
            }
            assert!(!format!("{command:?}").contains(PLANTED));
        }
        Err(error) => assert!(!error.to_string().contains(PLANTED), "{error}"),
    };
    check(&event);
    if let Some(fields) = event.as_object_mut() {
        fields.insert("to".to_owned(), format!("{PLANTED}@contoso.example").into());
        check(&event);
    }
    if let Some(fields) = event.as_object_mut() {
        fields.insert(PLANTED.to_owned(), PLANTED.into());
        check(&event);
    }
}

/// Partner Center's list of leads, which validation reconciles.
pub fn reconcile_list(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let planted = text.replace([',', ';'], &format!(",{PLANTED}"));
    for text in [text.as_ref(), &planted, &format!("Email,Name\n{text}")] {
        match Leads::count(text) {
            Ok(leads) => assert!(leads <= text.split(['\n', '\r']).count(), "more leads than lines"),
            Err(error) => assert!(!error.contains(PLANTED), "{error}"),
        }
    }
}

/// A lead in a mail and in its file.
fn mailed(stored: StoredLead) {
    let mut file = columns::writer(Vec::new());
    columns::write_lead(&mut file, &stored).expect("a file in memory can be written");
    drop(file);
    let digest = digest(vec![DigestLead { stored, history: Vec::new() }]);
    assert_harmless(&render(&digest, &settings()), 1);
    assert_harmless(&render_reduced(&digest, &settings()), 0);
}

fn digest(leads: Vec<DigestLead>) -> Digest {
    let (unreadable, quarantined) = (Vec::new(), Vec::new());
    Digest {
        id: "digest".to_owned(),
        occasion: Occasion::New,
        is_redirected: false,
        more: 0,
        leads,
        unreadable,
        quarantined,
    }
}

fn settings() -> RenderSettings {
    let language = Language::find("en").expect("English is there");
    RenderSettings::new(language, TimeZone::UTC, 180)
}
