//! Digests of every kind: the snapshot tests compare their mails, and `examples/mail-preview.rs` writes them to look at.

#[path = "made_up.rs"]
pub(crate) mod made_up;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use marketplace_leads::lead::{Lead, Origin, StoredLead};
use marketplace_leads::mail::{
    Counts, CrmSearch, Digest, DigestLead, Language, Occasion, PastAction, QuarantinedBody, RenderSettings, Replies,
    Summary, SuppressedRecipient, Trouble, UnreadableLead,
};
use marketplace_leads::table::Keys;
use serde_json::json;

/// When the newest lead of the samples came.
pub(crate) fn newest() -> Timestamp {
    "2026-11-12T09:41:00Z".parse().unwrap()
}

pub(crate) fn settings(language: &str, zone: &str) -> RenderSettings {
    RenderSettings::new(Language::find(language).unwrap(), TimeZone::get(zone).unwrap(), 180)
}

pub(crate) fn english() -> RenderSettings {
    settings("en", "Europe/Berlin")
}

pub(crate) fn digest(leads: Vec<DigestLead>) -> Digest {
    Digest {
        id: "20261112T100000Z-1".into(),
        occasion: Occasion::New,
        is_redirected: false,
        more: 0,
        leads,
        unreadable: Vec::new(),
        quarantined: Vec::new(),
    }
}

/// A lead as Microsoft sends it, received some minutes before [`newest`].
pub(crate) fn lead(json: &serde_json::Value, minutes_before: i64) -> DigestLead {
    let lead = Lead::from_json(json.to_string().as_bytes()).unwrap();
    let stored = StoredLead::received(lead, newest() - minutes_before.minutes());
    DigestLead { stored, history: Vec::new() }
}

fn past(time: &str, action_code: &str, offer: &str) -> PastAction {
    PastAction { time: time.parse().unwrap(), action_code: action_code.into(), offer: offer.into() }
}

pub(crate) fn ada() -> DigestLead {
    lead(
        &json!({
            "UserDetails": {
                "FirstName": "Ada", "LastName": "Lindqvist", "Email": "ada.lindqvist@fabrikam.com",
                "Phone": "+46 (0)8 555 0142", "Country": "SE", "Company": "Fabrikam Nordic AB", "Title": "Head of IT",
            },
            "LeadSource": "AzureMarketplace-PLT|contoso.backup-pro", "ActionCode": "PLT", "OfferTitle": "Contoso Backup",
            "Description": "We back up 40 TB every night and our contract ends in January.\nCould you show us a restore?",
        }),
        0,
    )
}

/// A lead of a person who did something before.
pub(crate) fn known() -> DigestLead {
    let lead = lead(
        &json!({
            "UserDetails": {
                "FirstName": "Tomás", "LastName": "Herrera", "Email": "t.herrera@northwindtraders.com",
                "Phone": "16175550119", "Country": "US", "Company": "Northwind Traders", "Title": "Cloud architect",
            },
            "LeadSource": "SPZA-INS|contoso.backup-pro", "ActionCode": "INS", "OfferTitle": "Contoso Backup",
            "Description": json!({ "mktcmpid": "autumn-webinar", "src": "newsletter" }).to_string(),
        }),
        26,
    );
    let history = vec![
        past("2026-11-09T15:00:00Z", "StartTestDrive", "Contoso Backup"),
        past("2026-11-03T08:00:00Z", "INS", "Contoso VM"),
    ];
    DigestLead { history, ..lead }
}

pub(crate) fn do_not_contact() -> DigestLead {
    lead(
        &json!({
            "UserDetails": {
                "FirstName": "Noor", "LastName": "de Vries", "Email": "noor@tailspintoys.com", "Phone": "+31 20 555 0101",
                "Country": "NL", "Company": "Tailspin Toys", "Title": "Buyer",
            },
            "LeadSource": "AzureMarketplace-DNC|contoso.vm", "ActionCode": "DNC", "OfferTitle": "Contoso VM",
        }),
        41,
    )
}

pub(crate) fn test_lead() -> DigestLead {
    let text = "MSFT_TEST_636737558587117715";
    lead(
        &json!({
            "UserDetails": {
                "FirstName": text, "LastName": text, "Email": format!("{text}@test.com"), "Phone": "1234567890",
                "Country": "US", "Company": text, "Title": text,
            },
            "LeadSource": format!("{text}-{text}|Contoso VM"), "ActionCode": text, "OfferTitle": text, "Description": text,
        }),
        90,
    )
}

pub(crate) fn withheld() -> DigestLead {
    lead(
        &json!({
            "UserDetails": { "Email": "student@school.edu", "Country": "US", "Company": "School of Fine Art" },
            "LeadSource": "AzurePortal-Create|contoso.vm", "ActionCode": "Create", "OfferTitle": "Contoso VM",
        }),
        55,
    )
}

pub(crate) fn unreadable() -> UnreadableLead {
    UnreadableLead {
        keys: Keys::new("11:2F12:2F2026", "2f6b9c1e-7d3a-4b6e-9f3e-0c1b2a3d4e5f"),
        timestamp: Some(newest() - 70.minutes()),
        reason: "its CustomerInfo is not a JSON object".into(),
        columns: vec![
            ("CustomerInfo".into(), "{\"FirstName\":\"Lee\" \"LastName\":\"Gu\"}".into()),
            ("LeadSource".into(), "AzureMarketplace-INS|contoso.vm".into()),
        ],
    }
}

pub(crate) fn quarantined() -> QuarantinedBody {
    QuarantinedBody {
        keys: Keys::new("quarantine", "2026-11-12-8f434346648f6b96df89dda901c5176b"),
        received: Some(newest() - 75.minutes()),
        reason: "The body cannot be read as JSON: expected `,` or `}` at line 2 column 14.".into(),
        size: 412,
        excerpt: "{\"UserDetails\":{\"FirstName\":\"Some\",\n \"LastName\":\"One\" \"Email\":\"someone@fabrikam.com\""
            .into(),
    }
}

pub(crate) fn hostile() -> DigestLead {
    let note = format!("<script>alert(1)</script>\r\n\r\n\r\n\"' -->]]>{}", "long & <b>bold</b> ".repeat(1_600));
    let lead = lead(
        &json!({
            "UserDetails": {
                "FirstName": "<img src=x onerror=alert(1)>", "LastName": "=HYPERLINK(\"http://evil.example\",\"Ada\")",
                "Email": "eve@evil.example\r\nBcc: all@evil.example", "Phone": "+1;ext=\"><script>alert(2)</script>",
                "Country": "\u{202e}ES\u{2066}", "Company": "-2+3+cmd|' /C calc'!A0", "Title": "@SUM(A1)\u{0}\u{7}\u{1b}[31m",
                "\"><script>": { "nested": "<b>" },
            },
            "LeadSource": "Evil<br>-<i>new</i>|\r\nevil.offer\u{200b}",
            "ActionCode": "<i>new</i>\r\nX-Injected: yes",
            "OfferTitle": "Contoso\r\nBcc: eve@evil.example \u{202e}VM <b>",
            "Description": note,
        }),
        3,
    );
    DigestLead { history: vec![past("2025-12-31T23:30:00Z", "<script>", "</td></table>\r\n")], ..lead }
}

/// A lead of Microsoft's own table.
fn chinese() -> DigestLead {
    let json = json!({
        "CustomerInfo": {
            "FirstName": "小明", "LastName": "王", "Email": "xiaoming@例子.中国", "Phone": "+86 10 5555 0100", "Country": "CN",
            "Company": "远大贸易有限公司", "Title": "采购经理",
        },
        "LeadSource": "AppSource (SPZA)-PLT|contoso.backup-pro", "ActionCode": "PLT", "OfferDisplayName": "Contoso 备份",
        "Description": "请尽快与我们联系。", "ProductId": "b7e2", "CreatedTime": "2026-11-12T08:30:00",
    });
    let stored = StoredLead {
        lead: Lead::from_json(json.to_string().as_bytes()).unwrap(),
        keys: Keys::new("11:2F12:2F2026", "5d1c"),
        timestamp: Some(newest()),
        received: None,
        same_request: None,
        origin: Origin::Table,
    };
    DigestLead { stored, history: vec![past("2026-11-09T17:00:00Z", "StartTestDrive", "Contoso 备份")] }
}

/// The same requests again: of a person, of a person with earlier actions, and of nobody in particular.
pub(crate) fn same_requests() -> Vec<DigestLead> {
    let again = |mut lead: DigestLead, hours: i64| {
        lead.stored.keys.row += "-0002";
        lead.stored.same_request = lead.stored.received.map(|received| received - hours.hours());
        lead
    };
    let nobody = lead(&json!({"UserDetails": {"Country": "US"}, "LeadSource": "SPZA-INS|contoso.vm"}), 70);
    vec![again(ada(), 2), again(known(), 30), again(nobody, 5)]
}

/// Ordinary leads, as many as wanted, for a few offers.
pub(crate) fn ordinary(count: usize) -> Vec<DigestLead> {
    let offers = [
        ("Contoso Backup", "contoso.backup-pro"),
        ("Contoso VM", "contoso.vm"),
        ("Contoso Mail Guard", "contoso.guard"),
    ];
    let actions = ["INS", "PLT", "Create", "StartTestDrive"];
    (0..count)
        .map(|number| {
            let (title, id) = offers[number % offers.len()];
            let action = actions[number % actions.len()];
            let json = json!({
                "UserDetails": {
                    "FirstName": "Sam", "LastName": format!("Example {number}"),
                    "Email": format!("sam.example.{number}@fabrikam.com"), "Phone": format!("+1 617 555 {number:04}"),
                    "Country": "US", "Company": "Fabrikam Residences", "Title": "IT manager",
                },
                "LeadSource": format!("AzureMarketplace-{action}|{id}"), "ActionCode": action, "OfferTitle": title,
                "Description": "Please send us a quote for 250 seats.",
            });
            lead(&json, i64::try_from(number).unwrap() * 7)
        })
        .collect()
}

/// Settings with a link to a CRM, and with answers to an address.
pub(crate) fn with_links() -> RenderSettings {
    let replies = Replies::parse("sales@contoso.com").unwrap();
    let crm_search = Some(CrmSearch::parse("https://crm.example/search?q={email}").unwrap());
    RenderSettings { replies, crm_search, ..english() }
}

/// A lead that was in the table for days before it was found.
pub(crate) fn late() -> DigestLead {
    let mut late = known();
    late.stored.received = late.stored.received.map(|received| received - 75.hours());
    late.stored.timestamp = late.stored.received;
    late
}

/// Every kind of digest by its name.
pub(crate) fn all() -> Vec<(&'static str, Digest, RenderSettings)> {
    let new = |leads| digest(leads);
    vec![
        ("one lead", new(vec![ada()]), english()),
        ("overview", new(vec![ada(), known(), do_not_contact()]), english()),
        ("many leads", new(ordinary(12)), english()),
        ("a hundred leads", new(ordinary(100)), english()),
        ("two hundred leads", new(ordinary(200)), english()),
        ("earlier actions", new(vec![known()]), english()),
        ("same request again", new(same_requests()), english()),
        ("do not contact", new(vec![do_not_contact()]), english()),
        ("test lead", new(vec![test_lead(), ada()]), english()),
        ("withheld", new(vec![withheld()]), english()),
        ("unreadable row", Digest { unreadable: vec![unreadable()], ..new(vec![ada()]) }, english()),
        ("quarantine", Digest { quarantined: vec![quarantined()], ..new(Vec::new()) }, english()),
        ("hostile lead", new(vec![hostile()]), english()),
        (
            "chinese",
            Digest { unreadable: vec![unreadable()], ..new(vec![chinese(), do_not_contact(), withheld()]) },
            settings("zh-Hans", "Asia/Shanghai"),
        ),
        (
            "made-up language",
            Digest { unreadable: vec![unreadable()], ..new(vec![ada(), known(), do_not_contact(), withheld()]) },
            made_up::settings(),
        ),
        ("late with links", new(vec![late(), do_not_contact()]), with_links()),
        ("of a backlog", Digest { more: 2_400, ..new(vec![ada(), known()]) }, english()),
        ("maybe repeated", Digest { occasion: Occasion::MaybeRepeated, ..new(vec![ada()]) }, english()),
        (
            "backfill",
            Digest {
                occasion: Occasion::Backfill { since: newest() - 48.hours(), until: newest() + 1.minute() },
                ..new(vec![ada(), known()])
            },
            english(),
        ),
    ]
}

/// Digests that are sent without the texts of their leads, by their names.
pub(crate) fn all_reduced() -> Vec<(&'static str, Digest, RenderSettings)> {
    let everything = Digest {
        occasion: Occasion::MaybeRepeated,
        unreadable: vec![unreadable()],
        quarantined: vec![quarantined()],
        ..digest(vec![hostile(), do_not_contact(), test_lead()])
    };
    vec![
        ("reduced", digest(vec![ada()]), english()),
        ("reduced everything", everything.clone(), english()),
        ("reduced chinese", everything.clone(), settings("zh-Hans", "Asia/Shanghai")),
        ("reduced made-up language", everything, made_up::settings()),
    ]
}

/// What the operator is told of a destination: that it refuses leads, and that leads have been waiting for it.
pub(crate) fn troubles() -> [(&'static str, Trouble); 2] {
    let refused = Trouble {
        id: "trouble-chat-2026-11-12".into(),
        destination: "sales-chat".into(),
        route: "sales".into(),
        waiting: 3,
        reason: "the destination answered 403".into(),
        waiting_since: None,
    };
    let waiting = Trouble { waiting_since: Some(newest() - 30.hours()), ..refused.clone() };
    [("trouble", refused), ("trouble waiting", waiting)]
}

/// A recipient to whom the mail service delivers nothing.
pub(crate) fn suppressed() -> SuppressedRecipient {
    SuppressedRecipient {
        id: "suppressed-2026-11-12".into(),
        address: "sales@contoso.com".into(),
        routes: "default, sales".into(),
    }
}

/// A lead of another offer, action and country.
fn plain() -> DigestLead {
    lead(
        &json!({
            "UserDetails": {"FirstName": "Mia", "Email": "mia@contoso.com", "Country": "DE"},
            "LeadSource": "SPZA-INS|contoso.vm", "ActionCode": "INS", "OfferTitle": "Contoso VM",
        }),
        0,
    )
}

/// A week with all that a summary can say, after two weeks before it. With `busy`, each respect has more names than are
/// shown, and names that are hostile.
pub(crate) fn summary(busy: bool) -> Summary {
    let week = |leads: &[(DigestLead, usize)]| {
        let mut counts = Counts::default();
        for (lead, times) in leads {
            (0..*times).for_each(|_| counts.add_lead(&lead.stored));
        }
        counts
    };
    let mut now = week(&[(ada(), 7), (plain(), 4), (do_not_contact(), 2), (withheld(), 1), (test_lead(), 1)]);
    (now.repeats, now.unreadable, now.parked) = (3, 1, 1);
    now.delays = [11, 2, 0, 1];
    if busy {
        let leads = (0..60).map(|number| {
            let mut lead = hostile();
            lead.stored.lead.offer_title = format!("{number}<script>{}", "\u{202e}W\"&'".repeat(60));
            lead.stored.lead.action_code = format!("<b>{number}\r\n");
            lead.stored.lead.customer.country = format!("{number}\u{200b}{}", "é".repeat(300));
            (lead, number + 1)
        });
        now.add(&week(&leads.collect::<Vec<_>>()));
    }
    let before = vec![week(&[(ada(), 3)]), week(&[(ada(), 4), (withheld(), 2), (do_not_contact(), 3)])];
    Summary {
        id: "summary-default-2026-11-22".into(),
        last_day: jiff::civil::date(2026, 11, 22),
        week: now,
        before,
        quiet_days: 2,
    }
}
