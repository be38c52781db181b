//! What must hold for every lead.

use super::*;
use crate::table::{Damage, Entity, Value};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::to_raw_value;

/// A JSON value as text: mostly what a lead has, and now and then anything.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<String>().prop_map(|text| json(&text)),
        1 => "[ -~]{0,12}".prop_map(|text| json(&text)),
        1 => select(vec!["null", "true", "0", "-1.50e+3", "\"\"", "\" \"", "{}", "[ 1 , {\"a\":null} ]", "\"\\ud800\""])
            .prop_map(str::to_owned),
        1 => any::<f64>().prop_map(|number| serde_json::Value::from(number).to_string()),
        // Longer than a column, with characters of one and of two units.
        1 => (32_760..32_775_usize, "[aä😀]").prop_map(|(count, last)| json(&("x".repeat(count) + &last + "end"))),
    ]
}

fn json(text: &str) -> String {
    to_raw_value(text).unwrap().get().to_owned()
}

/// Fields of an object: known names in any casing, and others; names repeat.
fn fields(known: &'static [&'static str]) -> impl Strategy<Value = Vec<(String, String)>> {
    let casing = select(known).prop_flat_map(|name| {
        prop::collection::vec(any::<bool>(), name.len()).prop_map(move |upper| {
            let letters = name.chars().zip(upper);
            letters.map(|(letter, up)| if up { letter.to_ascii_uppercase() } else { letter }).collect()
        })
    });
    prop::collection::vec((prop_oneof![4 => casing, 1 => any::<String>()], value()), 0..10)
}

fn object(fields: &[(String, String)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{} : {value}", json(name))).collect();
    format!("{{{}}}", fields.join(", "))
}

const CUSTOMER: &[&str] = &["firstname", "lastname", "email", "phone", "country", "company", "title"];
const LEAD: &[&str] = &[
    "leadsource",
    "actioncode",
    "offertitle",
    "offerdisplayname",
    "description",
    "createdtime",
    "userdetails",
    "customerinfo",
    "source",
    "receivedtime",
    "samerequesttime",
    "unknownfields",
];

/// A body: an object with a customer somewhere, as an object or as a JSON text of one.
fn body() -> impl Strategy<Value = String> {
    (fields(LEAD), fields(CUSTOMER), any::<bool>(), any::<prop::sample::Index>()).prop_map(
        |(mut fields, customer, as_text, at)| {
            let customer = if as_text { json(&object(&customer)) } else { object(&customer) };
            fields.insert(at.index(fields.len() + 1), ("UserDetails".to_owned(), customer));
            object(&fields)
        },
    )
}

fn received() -> Timestamp {
    "2026-11-22T10:00:00.123Z".parse().unwrap()
}

/// What the service gives back of a row: the same columns, written now.
fn written(entity: &Entity) -> Entity {
    Entity { timestamp: Some(received()), ..entity.clone() }
}

proptest! {
    #[test]
    fn a_lead_comes_out_of_its_row_as_it_went_in(body in body()) {
        if let Ok(lead) = Lead::from_json(body.as_bytes()) {
            let row = StoredLead::received(lead.clone(), received()).to_entity();
            let stored = StoredLead::from_entity(&written(&row)).unwrap();
            prop_assert!(stored.lead == lead, "another lead");
            prop_assert_eq!(stored.lead.id(), stored.keys.row);
            prop_assert_eq!(stored.received, Some(received()));
            prop_assert_eq!(stored.origin, Origin::Https);
        }
    }

    #[test]
    fn a_row_fits_azures_limits(body in body()) {
        if let Ok(lead) = Lead::from_json(body.as_bytes()) {
            for (name, value) in StoredLead::received(lead, received()).to_entity().properties {
                let Value::String(text) = value else { panic!("{name} is no text") };
                prop_assert!(text.encode_utf16().count() <= crate::table::MAX_STRING_UNITS, "{}", name);
                prop_assert!(name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_'), "{}", name);
            }
        }
    }

    #[test]
    fn no_bytes_make_reading_panic_and_no_error_repeats_them(bytes in any::<Vec<u8>>()) {
        let secret = b"Person@example.com";
        let with_secret = [b"\"".as_slice(), secret, b"\"", &bytes].concat();
        for body in [&bytes, &with_secret] {
            if let Err(error) = Lead::from_json(body) {
                prop_assert!(!error.message.contains("Person"), "{}", error.message);
            }
        }
    }

    #[test]
    fn no_text_like_a_time_makes_reading_panic(text in "[-0-9/:.+TZAPM é\u{202f}]{0,30}") {
        let stored = StoredLead::received(Lead { created_time: text, ..Lead::default() }, received());
        let stored = StoredLead { received: None, ..stored };
        let _ = (stored.time(), stored.shown_time());
    }

    #[test]
    fn no_text_like_json_makes_reading_panic(text in "[{}\\[\\]\",:a-c0-9\\\\u ]{0,40}") {
        let _ = Lead::from_json(text.as_bytes());
        let lead = Lead { description: text.clone(), lead_source: text, ..Lead::default() };
        let _ = (lead.campaign(), lead.source(), lead.offer(), lead.id());
    }

    #[test]
    fn the_id_depends_on_neither_casing_nor_order_of_keys(
        texts in prop::collection::vec("[a-z]{1,5}", 11),
        order in Just((0..11_usize).collect::<Vec<_>>()).prop_shuffle(),
        upper in any::<bool>(),
    ) {
        let case = |name: &str| if upper { name.to_uppercase() } else { name.to_owned() };
        let names = [CUSTOMER, &["leadsource", "actioncode", "offertitle", "anything"]].concat();
        let fields: Vec<_> = names.iter().zip(&texts).map(|(name, text)| ((*name).to_owned(), json(text))).collect();
        let body = |order: &[usize], case: &dyn Fn(&str) -> String| {
            let (mut lead, mut customer) = (Vec::new(), Vec::new());
            for &at in order {
                let (name, value) = &fields[at];
                let to = if at < CUSTOMER.len() { &mut customer } else { &mut lead };
                to.push((case(name), value.clone()));
            }
            lead.insert(order[0] % (lead.len() + 1), (case("userdetails"), object(&customer)));
            Lead::from_json(object(&lead).as_bytes()).unwrap()
        };
        let straight: Vec<_> = (0..11).collect();
        prop_assert_eq!(body(&order, &case).id(), body(&straight, &str::to_owned).id());
    }

    #[test]
    fn every_value_counts_for_the_id(at in 0..11_usize, text in "[a-z]{1,5}") {
        let lead = |text: &str| {
            let texts: Vec<_> = (0..11).map(|field| if field == at { json(text) } else { "\"same\"".to_owned() }).collect();
            let customer: Vec<_> = CUSTOMER.iter().map(|name| (*name).to_owned()).zip(texts.iter().cloned()).collect();
            let rest = ["leadsource", "actioncode", "offertitle", "anything"].map(str::to_owned);
            let mut fields: Vec<_> = rest.into_iter().zip(texts[CUSTOMER.len()..].iter().cloned()).collect();
            fields.push(("userdetails".to_owned(), object(&customer)));
            Lead::from_json(object(&fields).as_bytes()).unwrap()
        };
        prop_assert_ne!(lead(&text).id(), lead("other-text").id());
    }
}

#[test]
fn microsofts_own_row_is_read_with_every_type_that_its_columns_may_have() {
    let customer = r#"{"FirstName":"Some","LastName":"One","Email":"someone@contoso.com","Seats":5}"#;
    let row = Entity::new("9:2F28:2F2018", "00000000-1111-2222-3333-444444444444")
        .with("CustomerInfo", customer)
        .with("LeadSource", "AzureMarketplace-INS|contoso.backup")
        .with("ActionCode", "INS")
        .with("OfferDisplayName", "Contoso Backup")
        .with("Description", "")
        .with("ProductId", 7_i64)
        .with("PublisherDisplayName", "Contoso");
    let time: Timestamp = "2018-09-28T18:24:18.7117715Z".parse().unwrap();
    for created in
        [Value::from(time), Value::from("2018-09-28T18:24:18.7117715Z"), "2018-09-28T18:24:18.7117715".into()]
    {
        let stored = StoredLead::from_entity(&row.clone().with("CreatedTime", created)).unwrap();
        assert_eq!((stored.origin, stored.received), (Origin::Table, None));
        assert_eq!(stored.time(), Some(time));
        assert_eq!(stored.lead.customer.name(), "Some One");
        assert_eq!(stored.lead.customer.unknown[0].text(), "5");
        let unknown: Vec<_> = stored.lead.unknown.iter().map(|field| (field.name.as_str(), field.text())).collect();
        assert_eq!(unknown, [("ProductId", "7".to_owned()), ("PublisherDisplayName", "Contoso".to_owned())]);
    }
}

#[test]
fn the_time_of_a_lead_is_found_in_every_form_and_else_it_is_when_the_row_was_written() {
    let row = |created: &str| {
        let row = Entity::new("9:2F28:2F2018", "r").with("LeadSource", "A").with("CreatedTime", created);
        StoredLead::from_entity(&written(&row)).unwrap().time()
    };
    let time: Timestamp = "2018-09-28T18:24:18Z".parse().unwrap();
    for created in ["2018-09-28T18:24:18Z", "2018-09-28T20:24:18+02:00", "2018-09-28 18:24:18", "9/28/2018 6:24:18 PM"]
    {
        assert_eq!(row(created), Some(time), "{created}");
    }
    for created in ["", "yesterday", "28.9.2018", "13/28/2018 6:24:18 PM"] {
        assert_eq!(row(created), Some(received()), "{created}");
    }
}

/// Each form that has been seen in `CreatedTime`, and those near to it.
#[test]
fn created_time_is_read_in_the_forms_of_real_rows() {
    let row = |created: &str| {
        let row = Entity::new("11:2F15:2F2025", "r").with("LeadSource", "A").with("CreatedTime", created);
        StoredLead::from_entity(&written(&row)).unwrap()
    };
    for (created, expected) in [
        ("2025-11-15T20:02:52Z[Europe/Berlin]", "2025-11-15T20:02:52Z"),
        // Real rows of 2025.
        ("11/15/2025 20:02:52", "2025-11-15T20:02:52Z"),
        ("1/2/2025 03:04:05", "2025-01-02T03:04:05Z"),
        ("11/15/2025 00:00:00", "2025-11-15T00:00:00Z"),
        ("11/15/2025 20:02:52.1234567", "2025-11-15T20:02:52.1234567Z"),
        // Without seconds, and with AM and PM after spaces of any width.
        ("11/15/2025 20:02", "2025-11-15T20:02:00Z"),
        ("11/15/2025 8:02 PM", "2025-11-15T20:02:00Z"),
        ("11/15/2025 8:02:52 PM", "2025-11-15T20:02:52Z"),
        ("11/15/2025, 8:02:52\u{202f}PM", "2025-11-15T20:02:52Z"),
        ("\u{200e}11/15/2025 8:02:52\u{a0}pm", "2025-11-15T20:02:52Z"),
        ("11/15/2025 12:00:01\u{2009}a.m.", "2025-11-15T00:00:01Z"),
        ("11/15/2025 8:02:52PM", "2025-11-15T20:02:52Z"),
        // With a zone.
        ("11/15/2025 20:02:52 +02:00", "2025-11-15T18:02:52Z"),
        ("11/15/2025 20:02:52 -0800", "2025-11-16T04:02:52Z"),
        ("11/15/2025 8:02:52 PM UTC", "2025-11-15T20:02:52Z"),
        ("11/15/2025 20:02:52Z", "2025-11-15T20:02:52Z"),
        ("2025-11-15T20:02:52.5+02:00", "2025-11-15T18:02:52.5Z"),
        ("2025-11-15 20:02:52Z", "2025-11-15T20:02:52Z"),
        ("2025-11-15T20:02", "2025-11-15T20:02:00Z"),
        ("Sat, 15 Nov 2025 20:02:52 GMT", "2025-11-15T20:02:52Z"),
        ("15 Nov 2025 20:02:52 +0200", "2025-11-15T18:02:52Z"),
        ("Nov 15, 2025 8:02 PM", "2025-11-15T20:02:00Z"),
        // Dates alone.
        ("11/15/2025", "2025-11-15T00:00:00Z"),
        ("2025-11-15", "2025-11-15T00:00:00Z"),
        ("2025/11/15", "2025-11-15T00:00:00Z"),
        // .NET's ticks.
        ("636737558587117715", "2018-09-28T18:24:18.7117715Z"),
        // The month comes first where both could.
        ("03/04/2025 00:00:00", "2025-03-04T00:00:00Z"),
    ] {
        let expected: Timestamp = expected.parse().unwrap();
        assert_eq!(row(created).time(), Some(expected), "{created}");
        assert_eq!(row(created).shown_time(), ShownTime::Known(expected), "{created}");
    }
    for created in [
        "13/11/2025 20:02:52",
        "yesterday",
        "28.9.2018",
        "11/15/25 20:02",
        "11/31/2025",
        "11/15/2025 25:02:52",
        "11/15/2025 20:002:52",
        "11/15/2025 20:02:52.",
        "11/15/2025 0:02 AM",
        "11/15/2025 20:02:52 CEST",
        "6367375585871177",
        "é11:20",
    ] {
        assert_eq!(row(created).time(), Some(received()), "the row's time decides the order: {created}");
        assert_eq!(row(created).shown_time(), ShownTime::AsItCame(created), "{created}");
    }
    for created in ["01/01/0001 00:00:00", "1999-12-31T23:59:59Z", "2101-01-01", "-009999-01-02T00:00:00Z"] {
        assert_eq!(row(created).shown_time(), ShownTime::Unknown, "{created}");
        assert_eq!(row(created).time(), Some(received()), "{created}");
    }
    assert_eq!(
        row(" ").shown_time(),
        ShownTime::Known(received()),
        "where Microsoft says nothing, the row's time is it"
    );
}

#[test]
fn a_row_that_is_no_lead_is_told_apart() {
    let row = Entity::new("9:2F28:2F2018", "r");
    for (row, expected) in [
        (row.clone(), UnreadableRow::NotALead),
        (row.clone().with("ProductId", "7"), UnreadableRow::NotALead),
        (row.clone().with("LeadSource", "A").with("CustomerInfo", "Some One"), UnreadableRow::CustomerInfo),
        (row.clone().with("LeadSource", "A").with("CustomerInfo", "[1]"), UnreadableRow::CustomerInfo),
    ] {
        assert_eq!(StoredLead::from_entity(&row).unwrap_err(), expected);
    }
    for customer in ["", "null", " "] {
        let row = row.clone().with("LeadSource", "A").with("CustomerInfo", customer);
        assert!(StoredLead::from_entity(&row).is_ok(), "{customer:?}");
    }
}

#[test]
fn a_row_with_unreadable_values_is_no_lead_and_one_with_replaced_characters_is() {
    let row = |damage: Damage| {
        let mut row = Entity::new("9:2F28:2F2018", "r").with("LeadSource", "A").with("OfferDisplayName", "a\u{fffd}b");
        row.damage = Some(damage);
        StoredLead::from_entity(&row)
    };
    assert_eq!(row(Damage::Unreadable).unwrap_err(), UnreadableRow::Damaged);
    assert_eq!(row(Damage::ReplacedCharacters).unwrap().lead.offer_title, "a\u{fffd}b");
}

#[test]
fn days_have_microsofts_form_and_are_read_back_from_no_other() {
    for (time, key) in [
        ("2018-09-28T00:00:00Z", "9:2F28:2F2018"),
        ("2026-01-01T23:59:59.999Z", "1:2F1:2F2026"),
        ("2024-02-29T12:00:00Z", "2:2F29:2F2024"),
    ] {
        let day = Day::of(time.parse().unwrap());
        assert_eq!(day.partition_key(), key);
        assert_eq!(Day::from_partition_key(key), Some(day));
        assert_eq!((day.before().after(), Day::of(day.start())), (day, day));
    }
    for key in ["", "09:2F28:2F2018", "9/28/2018", "9:2F31:2F2018", "9:2F28:2F2018:2F1", "quarantine", "9:2F28"] {
        assert_eq!(Day::from_partition_key(key), None, "{key}");
    }
}

#[test]
fn debug_shows_no_person() {
    let body = r#"{"UserDetails":{"FirstName":"Secret","Email":"secret@x.y","Key":"secret"},"LeadSource":"A","Secret":"secret"}"#;
    let lead = Lead::from_json(body.as_bytes()).unwrap();
    let stored = StoredLead::received(lead.clone(), received());
    let unknown = (&lead.unknown, &lead.customer);
    let shown = format!("{lead:?} {stored:?} {unknown:?} {:?}", stored.to_entity());
    assert!(!shown.to_lowercase().contains("secret"), "{shown}");
}

#[test]
fn a_customer_without_name_and_phone_is_withheld_whatever_the_address() {
    let lead = |first_name: &str, phone: &str, email: &str| Lead {
        customer: Customer {
            first_name: first_name.to_owned(),
            phone: phone.to_owned(),
            email: email.to_owned(),
            ..Customer::default()
        },
        ..Lead::default()
    };
    for (first_name, phone, email, is_withheld) in [
        ("", " ", "", true),
        ("", "", "student@school.edu", true),
        ("", "", "ada@contoso.example", true),
        ("Ada", "", "student@school.edu", false),
        ("", "555 0100", "", false),
    ] {
        assert_eq!(lead(first_name, phone, email).is_withheld(), is_withheld, "{first_name} {phone} {email}");
    }
}
