//! Every recorded body in `tests/fixtures/leads`: what is read of it, what is answered, and what is kept.

use crate::stubs::{Sqs, StubQueue, at, held, intake, post_bytes};
use marketplace_leads::cue::Cued;
use marketplace_leads::lead::{Action, Lead, Marketplace, StoredLead, UnreadableKind};
use marketplace_leads::table::memory::MemoryTable;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

enum Expected {
    Lead(fn(&Lead)),
    Unreadable(UnreadableKind, &'static str),
    TooLarge,
}

use Expected::{Lead as IsLead, TooLarge, Unreadable};

const RECORDED: &[(&str, Expected)] = &[
    ("documented.json", IsLead(is_documented)),
    ("camel-case.json", IsLead(is_documented)),
    ("other-casing-and-order.json", IsLead(is_documented)),
    ("byte-order-mark.json", IsLead(is_documented)),
    (
        "nulls.json",
        IsLead(|lead| {
            assert_eq!(lead.customer.name(), "One");
            assert_eq!(lead.action(), Action::Other(String::new()));
            assert!(lead.customer.unknown.is_empty() && lead.unknown.is_empty());
        }),
    ),
    (
        "user-details-null.json",
        IsLead(|lead| {
            assert!(lead.customer.known().iter().all(|(_, text)| text.is_empty()));
            assert_eq!(lead.offer(), "contoso.backup");
        }),
    ),
    (
        "missing-parts.json",
        IsLead(|lead| {
            assert_eq!(lead.customer.email, "someone@contoso.com");
            assert_eq!((lead.lead_source.as_str(), lead.offer().as_str()), ("", ""));
        }),
    ),
    (
        "numbers-and-booleans.json",
        IsLead(|lead| {
            let customer = &lead.customer;
            assert_eq!((customer.last_name.as_str(), customer.title.as_str()), ("true", "false"));
            assert_eq!((customer.phone.as_str(), customer.country.as_str()), ("16175555555", "840"));
            assert_eq!((customer.company.as_str(), lead.offer_title.as_str()), ("1e3", "365.0"));
            assert_eq!(lead.description, "12345678901234567890123");
        }),
    ),
    (
        "unknown-keys.json",
        IsLead(|lead| {
            let fields = |fields: &[marketplace_leads::lead::UnknownField]| -> Vec<_> {
                fields.iter().map(|field| (field.name.clone(), field.json.clone())).collect()
            };
            let pair = |name: &str, json: &str| (name.to_owned(), json.to_owned());
            assert_eq!(fields(&lead.customer.unknown), [pair("Department", r#""Research""#), pair("Seats", "25")]);
            assert_eq!(
                fields(&lead.unknown),
                [
                    pair("TenantId", r#""11111111-2222-3333-4444-555555555555""#),
                    pair("Extra", r#"{"a":[1, 2.50,null],"b":"\u00fc"}"#),
                    pair("Price", "10.10"),
                ]
            );
        }),
    ),
    (
        "duplicate-keys.json",
        IsLead(|lead| {
            assert_eq!(lead.lead_source, "AzureMarketplace");
            assert_eq!(lead.action(), Action::ContactMe);
            assert_eq!(
                (lead.customer.first_name.as_str(), lead.customer.email.as_str()),
                ("Some", "first@contoso.com")
            );
            assert_eq!(lead.customer.unknown[0].text(), "second@contoso.com");
            assert_eq!(lead.unknown[0].text(), "SPZA");
        }),
    ),
    (
        "campaign.json",
        IsLead(|lead| {
            let pairs = [("mktcmpid", "spring sale"), ("partnerid", "42"), ("wt.mc_id", "")];
            let expected = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            assert_eq!(lead.campaign(), Some(expected));
        }),
    ),
    (
        "lead-source-long.json",
        IsLead(|lead| {
            let source = lead.source();
            assert_eq!((source.marketplace, source.action), (Marketplace::AppSource, Action::ContactMe));
            assert_eq!(lead.offer(), "checkpoint.check-point-r77-10sg-byol");
        }),
    ),
    (
        "lead-source-short.json",
        IsLead(|lead| {
            assert_eq!(lead.source().marketplace, Marketplace::AzurePortal);
            assert_eq!(lead.campaign(), None);
        }),
    ),
    ("test-lead.json", IsLead(|lead| assert!(lead.is_test() && !lead.is_do_not_contact()))),
    ("do-not-contact.json", IsLead(|lead| assert!(lead.is_do_not_contact() && !lead.is_test()))),
    ("withheld-edu.json", IsLead(|lead| assert!(lead.is_withheld()))),
    (
        "right-to-left-and-emoji.json",
        IsLead(|lead| {
            assert_eq!(lead.customer.first_name, "דניאל");
            assert_eq!(lead.customer.company, "株式会社 🚀👩\u{200d}👩\u{200d}👧");
            assert!(lead.customer.title.ends_with("😀"));
            assert_eq!(lead.offer_title, "\u{202e}evil\u{202c}");
        }),
    ),
    (
        "control-characters.json",
        IsLead(|lead| {
            assert_eq!(lead.customer.first_name, "Some\0\u{7}");
            assert_eq!(lead.customer.last_name, "One\r\nBcc: x");
            assert_eq!(lead.description, "tab\tline\u{2028}separator\u{fffe}");
        }),
    ),
    ("lone-surrogate.json", IsLead(|lead| assert_eq!(lead.customer.first_name, r#""\ud83d""#))),
    ("64-kib.json", IsLead(|lead| assert_eq!(lead.description.len(), 65_440))),
    (
        "long-values.json",
        IsLead(|lead| {
            assert_eq!((lead.customer.first_name.len(), lead.customer.last_name.len()), (17_000, 17_000));
            assert_eq!(lead.unknown[0].text(), "ä".repeat(5_000));
        }),
    ),
    ("deep-nesting.json", IsLead(|lead| assert_eq!(lead.unknown[0].json.len(), 40_000))),
    ("deep-nesting-as-user-details.json", IsLead(|lead| assert_eq!(lead.customer.unknown[0].name, "a"))),
    (
        "user-details-as-text.json",
        IsLead(|lead| {
            assert_eq!(lead.customer.name(), "Some");
            assert_eq!(lead.customer.email, "someone@contoso.com");
        }),
    ),
    ("64-kib-and-one-byte.json", TooLarge),
    ("faq-malformed.json", Unreadable(UnreadableKind::Syntax, "expected `,` or `}` at line 14 column 3")),
    ("array.json", Unreadable(UnreadableKind::NotAnObject, "not an object")),
    ("text.json", Unreadable(UnreadableKind::NotAnObject, "not an object")),
    ("text-with-a-rest.bin", Unreadable(UnreadableKind::Syntax, "does not begin with an object")),
    ("form.bin", Unreadable(UnreadableKind::Syntax, "line 1 column 1")),
    ("empty.bin", Unreadable(UnreadableKind::Empty, "empty")),
    ("white-space.bin", Unreadable(UnreadableKind::Empty, "empty")),
    ("invalid-utf-8.bin", Unreadable(UnreadableKind::Encoding, "byte 32")),
    ("utf-16.bin", Unreadable(UnreadableKind::Encoding, "byte 0")),
    ("cut-off.bin", Unreadable(UnreadableKind::Syntax, "EOF while parsing a string at line 1 column 49")),
    ("nothing-of-a-lead.json", Unreadable(UnreadableKind::NotALead, "nothing of a lead")),
    ("user-details-number-alone.json", Unreadable(UnreadableKind::NotALead, "nothing of a lead")),
];

fn is_documented(lead: &Lead) {
    let known = lead.customer.known().map(|(name, text)| (name, text.as_str()));
    assert_eq!(
        known,
        [
            ("FirstName", "Some"),
            ("LastName", "One"),
            ("Email", "someone@contoso.com"),
            ("Phone", "16175555555"),
            ("Country", "USA"),
            ("Company", "Contoso"),
            ("Title", "Esquire"),
        ]
    );
    assert_eq!(lead.source().marketplace, Marketplace::AzureMarketplace);
    assert_eq!(lead.action(), Action::Install);
    assert_eq!(lead.offer(), "Test Microsoft");
    assert_eq!(lead.description, "Test run through Power Automate");
    assert!(lead.unknown.is_empty() && lead.customer.unknown.is_empty());
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/leads")
}

fn body(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_recorded_body_is_tested_and_described() {
    let recorded: BTreeSet<_> = RECORDED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(recorded, files.filter(|name| !["README.md", ".gitattributes"].contains(&name.as_str())).collect());
    let index = String::from_utf8(body("README.md")).unwrap();
    for name in recorded {
        assert!(index.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn what_is_read_of_every_recorded_body() {
    for (name, expected) in RECORDED {
        println!("{name}");
        match (expected, Lead::from_json(&body(name))) {
            (IsLead(check), Ok(lead)) => check(&lead),
            (Unreadable(kind, part), Err(error)) => {
                assert_eq!(error.kind, *kind, "{name}");
                assert!(error.message.contains(part), "{name}: {}", error.message);
            }
            (TooLarge, _) => {}
            (_, result) => panic!("{name}: {result:?}"),
        }
    }
}

#[test]
fn the_same_lead_has_the_same_id_whatever_the_casing_and_the_order_of_its_keys() {
    let id = |name| Lead::from_json(&body(name)).unwrap().id();
    let documented = id("documented.json");
    for same in ["camel-case.json", "other-casing-and-order.json", "byte-order-mark.json"] {
        assert_eq!(id(same), documented, "{same}");
    }
    assert_ne!(id("nulls.json"), documented);
    // It stands in rows that are stored: another way to compute it would store every retried lead twice.
    assert_eq!(documented, "acf70b4f8e7368b1a9076b3008bcaeb3");
}

#[tokio::test]
async fn what_is_answered_to_every_recorded_body_and_what_is_kept_of_it() {
    let queue = StubQueue::start(Sqs::Refuses).await;
    let now = at("2026-11-22T10:00:00.123456Z");
    for (name, expected) in RECORDED {
        println!("{name}");
        let (leads, state) = (MemoryTable::new(), MemoryTable::new());
        let intake = intake(leads.clone(), state.clone(), &queue);
        let answer = post_bytes(&intake, &body(name), now).await;
        match expected {
            IsLead(_) => {
                let lead = Lead::from_json(&body(name)).unwrap();
                assert_eq!(answer.status, 201, "{name}");
                assert_eq!(answer.header("content-type"), Some("application/json"));
                assert_eq!(answer.json, serde_json::json!({"id": lead.id(), "status": "stored"}));
                assert_eq!(leads.calls(), 1, "{name}: one request to the table");
                let row = StoredLead::from_entity(&leads.rows()[0]).unwrap();
                assert_eq!(row.keys, marketplace_leads::table::Keys::new("11:2F22:2F2026", lead.id()));
                assert_eq!(row.received, Some(at("2026-11-22T10:00:00.123Z")));
                assert!(row.lead == lead, "{name}: the row gives another lead");

                let again = post_bytes(&intake, &body(name), now).await;
                assert_eq!(again.status, 200, "{name}");
                assert_eq!(again.json, serde_json::json!({"id": lead.id(), "status": "duplicate"}));
                assert_eq!((leads.rows().len(), state.calls()), (1, 0));
            }
            Unreadable(_, part) => {
                assert_eq!(answer.status, 400, "{name}");
                assert_eq!(answer.header("content-type"), Some("application/problem+json"));
                assert_eq!((answer.json["status"].as_u64(), answer.text("request_id")), (Some(400), "request-1"));
                assert!(answer.text("detail").contains(part), "{name}: {}", answer.json);
                for person in ["Some", "someone", "contoso", "MSFT_TEST"] {
                    assert!(!answer.json.to_string().contains(person), "{name}: {}", answer.json);
                }
                assert_eq!(leads.calls(), 0);
                let (quarantined, cued) = held(&state);
                let [row] = &quarantined[..] else { panic!("{name}: {quarantined:?}") };
                assert_eq!(cued, [Cued::Quarantined { row_key: row.row_key.clone() }], "{name}: the notifier is told");
                assert!(row.row_key.starts_with("2026-11-22-") && row.row_key.len() == 43, "{}", row.row_key);
                assert!(row.body == body(name), "{name}: other bytes were kept");
                assert_eq!(row.received, Some(at("2026-11-22T10:00:00.123Z")));

                assert_eq!(post_bytes(&intake, &body(name), now).await.status, 400);
                assert_eq!(held(&state).0.len(), 1, "{name}: the same body is kept once");
            }
            TooLarge => {
                assert_eq!(answer.status, 413, "{name}");
                let (quarantined, cued) = held(&state);
                let [row] = &quarantined[..] else { panic!("{name}: {quarantined:?}") };
                assert_eq!(cued, [Cued::Quarantined { row_key: row.row_key.clone() }], "{name}: the notifier is told");
                assert!(row.body == body(name) && row.size == row.body.len(), "{name}: other bytes were kept");
                assert_eq!(leads.calls(), 0);
            }
        }
    }
}
