//! A list of Partner Center's against the table.

use crate::cloud::Cloud;
use jiff::SignedDuration;
use marketplace_leads::lead::{Lead, StoredLead};
use marketplace_leads::table::Entity;
use marketplace_leads::validate::{Check, Status};
use serde_json::{Value, json};

async fn reconcile(cloud: &Cloud, fields: Value) -> Check {
    let report = cloud.validate(json!({"checks": ["reconcile"], "reconcile": fields})).await;
    report.checks.into_iter().find(|check| check.id.name() == "reconcile").unwrap()
}

/// A lead as Microsoft wrote it before the notifier's last run, which mailed nothing of it.
fn arrived(cloud: &Cloud, name: &str, day: &str, action: &str) {
    let customer = json!({"FirstName": name, "LastName": "Lovelace", "Email": format!("{name}@fabrikam.example")});
    let mut row = Entity::new(day.replace('/', ":2F"), format!("row-{name}-{action}"))
        .with("ActionCode", action)
        .with("CreatedTime", format!("{day} 20:02:52"))
        .with("CustomerInfo", customer.to_string())
        .with("LeadSource", format!("AzureMarketplace-{action}|contoso.backup"))
        .with("OfferDisplayName", "Contoso Backup");
    row.timestamp = Some(cloud.now);
    cloud.put(row);
}

#[tokio::test]
async fn a_second_lead_of_a_person_is_missing_where_the_table_has_one_row() {
    let cloud = Cloud::well().await;
    let twice = "Email,Offer,Date\nada@fabrikam.example,Contoso Backup,2026-11-24\n\
                 ada@fabrikam.example,Contoso Backup,2026-11-24\n";
    let found = reconcile(&cloud, json!({ "csv": twice })).await;
    assert_eq!(found.status, Status::Failed, "{}", found.seen);
    assert!(found.seen.contains("in the table: 1 of 2 leads"), "{}", found.seen);
    assert!(found.seen.contains("missing: 1; ") && found.seen.contains("has the only row: 1"), "{}", found.seen);
    assert!(found.details.iter().any(|line| line.starts_with("line 3: ")), "{:?}", found.details);

    // Another action of the same day is another lead.
    let action = |action: &str| format!("Email,Offer,Action,Date\nada@fabrikam.example,,{action},2026-11-24\n");
    for (action, expected) in [
        (action("Get it now"), Status::Ok),
        (action("INS"), Status::Ok),
        (action("Contact me"), Status::Failed),
        (action("Test drive"), Status::Failed),
        (action("something new"), Status::Ok),
    ] {
        let found = reconcile(&cloud, json!({ "csv": action })).await;
        assert_eq!(found.status, expected, "{action}: {}", found.seen);
    }
}

#[tokio::test]
async fn partner_centers_own_download_of_leads_is_compared_although_it_has_no_addresses() {
    let cloud = Cloud::well().await;
    let list = |customer: &str| {
        format!(
            "Referral ID,Creation Date,Updated Date,PartnerID,Customer Country,Customer Name,Call to action,Offer ID,Offer name\n\
             1,11/24/2026,11/24/2026,42,US,{customer},Get it now,contoso.backup,Contoso Backup\n"
        )
    };
    let found = reconcile(&cloud, json!({"csv": list("Ada Lovelace")})).await;
    assert_eq!(found.status, Status::Ok, "{}", found.seen);
    assert!(found.seen.contains("in the table: 1 of 1 lead"), "{}", found.seen);
    assert!(found.seen.contains("compared by the customers' names"), "{}", found.seen);
    let found = reconcile(&cloud, json!({"csv": list("Grace Hopper")})).await;
    assert_eq!(found.status, Status::Failed, "{}", found.seen);
}

#[tokio::test]
async fn the_order_of_dates_is_found_or_asked_for_and_never_guessed_silently() {
    let cloud = Cloud::well().await;
    for day in ["3/4/2026", "5/13/2026", "5/6/2026"] {
        arrived(&cloud, "Grace", day, "INS");
    }
    let list = |dates: &[&str]| {
        let lines = dates.iter().map(|date| format!("grace@fabrikam.example,Contoso Backup,{date}\n"));
        format!("Email,Offer,Date\n{}", lines.collect::<String>())
    };
    let in_table = |found: &Check, expected: &str| assert!(found.seen.contains(expected), "{}", found.seen);

    let found = reconcile(&cloud, json!({"csv": list(&["04/03/2026", "13/05/2026"])})).await;
    in_table(&found, "in the table: 2 of 2 leads");
    in_table(&found, "have the day first");
    let found = reconcile(&cloud, json!({"csv": list(&["03/04/2026", "05/13/2026"])})).await;
    in_table(&found, "in the table: 2 of 2 leads");
    assert!(!found.seen.contains("first"), "{}", found.seen);

    let ambiguous = list(&["03/04/2026", "05/06/2026"]);
    let found = reconcile(&cloud, json!({ "csv": ambiguous })).await;
    in_table(&found, "in the table: 2 of 2 leads");
    in_table(&found, "can be read with the month or the day first");
    assert!(found.cure.unwrap().contains("\"dates\":\"day-first\""));
    let found = reconcile(&cloud, json!({ "csv": ambiguous, "dates": "month-first" })).await;
    assert!(!found.seen.contains("can be read with"), "{}", found.seen);
    let found = reconcile(&cloud, json!({ "csv": ambiguous, "dates": "day-first" })).await;
    in_table(&found, "in the table: 0 of 2 leads");
}

#[tokio::test]
async fn a_date_that_cannot_be_read_is_named_and_does_not_make_the_whole_table_be_read() {
    let cloud = Cloud::well().await;
    arrived(&cloud, "Grace", "3/4/2026", "INS");
    let list = "Email,Date\nada@fabrikam.example,2026-11-24\ngrace@fabrikam.example,soon\n";
    let found = reconcile(&cloud, json!({ "csv": list })).await;
    assert_eq!(found.status, Status::Warning, "it is not known whether the lead is there: {}", found.seen);
    assert!(found.seen.contains("dates that cannot be read: 1 (line 3)"), "{}", found.seen);
    assert!(found.seen.contains("not found: 1 (line 3)"), "{}", found.seen);
    assert!(found.seen.contains("in the table: 1 of 1 lead"), "{}", found.seen);

    // Where no date can be read, the whole table is, and the report says so.
    let found = reconcile(&cloud, json!({ "csv": "Email\ngrace@fabrikam.example\nada@fabrikam.example\n" })).await;
    assert!(found.seen.contains("in the table: 2 of 2 leads"), "{}", found.seen);
    assert!(found.seen.contains("the whole table was read, since no date"), "{}", found.seen);
}

#[tokio::test]
async fn a_lead_whose_customer_takes_more_than_one_column_is_found() {
    let cloud = Cloud::well().await;
    let body = json!({
        "UserDetails": {"Email": "grace@fabrikam.example", "Answers": "x".repeat(40_000)},
        "LeadSource": "AzureMarketplace-INS|contoso.backup",
    });
    let received = cloud.now - SignedDuration::from_mins(1);
    let row = StoredLead::received(Lead::from_json(body.to_string().as_bytes()).unwrap(), received).to_entity();
    assert!(row.properties.contains_key("CustomerInfo_2"));
    cloud.put(row);
    let list = "Email,Offer,Date\ngrace@fabrikam.example,contoso.backup,2026-11-24\n";
    let found = reconcile(&cloud, json!({ "csv": list })).await;
    assert_eq!(found.status, Status::Ok, "{}", found.seen);
    assert!(found.seen.contains("in the table: 1 of 1 lead"), "{}", found.seen);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_counted() {
    let cloud = Cloud::well().await;
    cloud.put(Entity::new("11:2F24:2F2026", "odd").with("LeadSource", "A").with("CustomerInfo", "[]"));
    let found = reconcile(&cloud, json!({ "csv": "Email,Date\nada@fabrikam.example,2026-11-24\n" })).await;
    assert!(found.seen.contains("rows that cannot be read, and may be leads of the list: 1"), "{}", found.seen);
}

#[tokio::test]
async fn on_request_it_says_how_each_lead_was_compared_and_names_nobody() {
    let cloud = Cloud::well().await;
    arrived(&cloud, "Grace", "11/23/2026", "PLT");
    let list = "Email,First Name,Offer,Action,Date\n\
                ada@fabrikam.example,Ada,Contoso Backup,Get it now,2026-11-24\n\
                grace@fabrikam.example,Grace,,Contact me,2026-11-24\n\
                ada@fabrikam.example,Ada,Contoso Backup,Get it now,2026-11-24\n\
                ada@fabrikam.example,Ada,Contoso VM,Get it now,2026-11-24\n\
                mary@fabrikam.example,Mary,Contoso VM,Get it now,2026-11-24\n";
    let quiet = reconcile(&cloud, json!({ "csv": list })).await;
    let found = reconcile(&cloud, json!({ "csv": list, "explain": true })).await;
    let (status, details) = (found.status, found.details);
    assert_eq!((quiet.status, &quiet.details[..]), (status, &details[..quiet.details.len()]));
    assert_eq!(
        details[quiet.details.len()..],
        [
            "how each lead was compared:",
            "line 2: row 11:2F24:2F2026 row-Ada: same address, same offer, same day, same action; mailed",
            "line 3: row 11:2F23:2F2026 row-Grace-PLT: same address, offer unknown, day one off or unknown, same action; \
             waiting for the next run",
            "line 4: no row; same address: 1 row of another line",
            "line 5: no row; same address: 1 row of another offer",
            "line 6: no row; none has this address",
        ]
    );
}
