//! No check gives false comfort: each is well where all is well, says so where it is not, and where it cannot know, it is
//! never `ok`.

use crate::cloud::{Cloud, KEY, LEADS, RECIPIENT, STATE};
use crate::faults::{check, forget, list};
use futures::future::BoxFuture;
use jiff::SignedDuration;
use marketplace_leads::validate::{CHECKS, Report, Status};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use support::strict_table::{Fault, Operation};

/// How a deployment is, as far as one check is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Well,
    Wrong,
    Unknown,
}

use State::{Unknown, Well, Wrong};

type Make = fn(&mut Cloud) -> BoxFuture<'_, ()>;

/// Nothing is changed.
const AS_DEPLOYED: Make = |_| Box::pin(async {});

/// Something that is done at once.
macro_rules! at_once {
    (|$cloud:ident| $make:expr) => {
        |$cloud| {
            $make;
            Box::pin(async {})
        }
    };
}

/// For each check, how things are made well, wrong, and unknowable.
fn cases() -> Vec<(&'static str, State, &'static str, Make)> {
    vec![
        ("settings", Well, "as deployed", AS_DEPLOYED),
        ("settings", Wrong, "a recipient that is no address", at_once!(|cloud| cloud.set("LEADS_MAIL_TO", "sales"))),
        ("settings", Unknown, "keys that SSM does not give", at_once!(|cloud| keys_in_parameter(cloud))),
        ("connection-string", Well, "as deployed", AS_DEPLOYED),
        (
            "connection-string",
            Wrong,
            "cut",
            at_once!(|cloud| cloud.set("LEADS_STORAGE_CONNECTION_STRING", "AccountName=")),
        ),
        ("connection-string", Unknown, "SSM does not give it", at_once!(|cloud| string_in_parameter(cloud))),
        ("storage", Well, "as deployed", AS_DEPLOYED),
        ("storage", Wrong, "a wrong key", at_once!(|cloud| cloud.refuse(403, "AuthenticationFailed"))),
        ("storage", Unknown, "SSM does not give the connection string", at_once!(|cloud| string_in_parameter(cloud))),
        ("table", Well, "as deployed", AS_DEPLOYED),
        ("table", Wrong, "no table", at_once!(|cloud| cloud.refuse_where(404, "TableNotFound", of_leads))),
        ("table", Unknown, "no answer for one", at_once!(|cloud| cloud.refuse_where(500, "InternalError", of_state))),
        ("round-trip", Well, "as deployed", AS_DEPLOYED),
        (
            "round-trip",
            Wrong,
            "no writing",
            at_once!(|cloud| cloud
                .refuse_where(403, "AuthorizationPermissionMismatch", |asked| asked.operation == Operation::Insert)),
        ),
        (
            "round-trip",
            Unknown,
            "no reading of single rows",
            at_once!(|cloud| cloud.refuse_where(500, "InternalError", |asked| asked.operation == Operation::Get)),
        ),
        ("intake", Well, "as deployed", AS_DEPLOYED),
        (
            "intake",
            Wrong,
            "another key",
            at_once!(|cloud| cloud.say(|say| say.intake_keys = "another-key-0123456789".to_owned())),
        ),
        (
            "intake",
            Unknown,
            "no reading of the table",
            at_once!(|cloud| cloud.refuse_where(500, "InternalError", |asked| asked.operation == Operation::Query)),
        ),
        ("intake", Well, "left out", at_once!(|cloud| drop(cloud.settings.remove("LEADS_INTAKE_URL")))),
        ("intake", Unknown, "a wrong URL", at_once!(|cloud| cloud.set("LEADS_INTAKE_URL", "not a URL"))),
        ("intake", Unknown, "keys that SSM does not give", at_once!(|cloud| keys_in_parameter(cloud))),
        ("queue", Well, "as deployed", AS_DEPLOYED),
        ("queue", Wrong, "dead letters", at_once!(|cloud| cloud.say(|say| say.waiting = [0, 7]))),
        ("queue", Unknown, "no numbers", at_once!(|cloud| cloud.say(|say| say.queue_says_nothing = true))),
        ("queue", Unknown, "no URL", at_once!(|cloud| drop(cloud.settings.remove("LEADS_QUEUE_URL")))),
        (
            "queue",
            Unknown,
            "no URL of the dead letters",
            at_once!(|cloud| drop(cloud.settings.remove("LEADS_DEAD_LETTER_QUEUE_URL"))),
        ),
        ("mail", Well, "as deployed", AS_DEPLOYED),
        ("mail", Wrong, "a suppressed recipient", at_once!(|cloud| cloud.say(|say| say.suppressed = vec![RECIPIENT]))),
        ("mail", Unknown, "no answers", at_once!(|cloud| cloud.say(|say| say.ses_is_silent = true))),
        (
            "mail",
            Unknown,
            "no standing",
            at_once!(|cloud| cloud.say(|say| say.account["EnforcementStatus"] = "".into())),
        ),
        ("mail", Unknown, "no quota", at_once!(|cloud| cloud.say(|say| say.account["SendQuota"] = Value::Null))),
        ("mail", Unknown, "unreadable routes", at_once!(|cloud| cloud.set("LEADS_ROUTES", "[{}]"))),
        ("mail", Unknown, "too many recipients to ask for", at_once!(|cloud| cloud.set("LEADS_MAIL_TO", many()))),
        ("mail", Unknown, "a sender that cannot be read", at_once!(|cloud| cloud.set("LEADS_MAIL_FROM", "sales"))),
        ("destinations", Well, "as deployed", AS_DEPLOYED),
        ("destinations", Wrong, "no parameter", at_once!(|cloud| cloud.set("LEADS_ROUTES", TO_CRM))),
        (
            "destinations",
            Unknown,
            "a parameter that SSM does not give",
            at_once!(|cloud| {
                cloud.set("LEADS_ROUTES", TO_CRM);
                cloud.say(|say| say.parameters = None);
            }),
        ),
        ("destinations", Unknown, "unreadable routes", at_once!(|cloud| cloud.set("LEADS_ROUTES", "[{}]"))),
        ("notifier", Well, "as deployed", AS_DEPLOYED),
        ("notifier", Wrong, "no run for hours", at_once!(|cloud| cloud.advance(SignedDuration::from_hours(5)))),
        ("notifier", Unknown, "a state that cannot be read", at_once!(|cloud| hide_state(cloud))),
        ("notifier", Unknown, "an unknown interval", at_once!(|cloud| cloud.set("LEADS_INTERVAL_MINUTES", "often"))),
        ("silence", Well, "as deployed", AS_DEPLOYED),
        ("silence", Wrong, "nine days without leads", |cloud| {
            Box::pin(async {
                cloud.advance(SignedDuration::from_hours(9 * 24));
                cloud.run_notifier().await;
            })
        }),
        ("silence", Unknown, "a state that cannot be read", at_once!(|cloud| hide_state(cloud))),
        ("silence", Unknown, "an unknown limit", at_once!(|cloud| cloud.set("LEADS_SILENCE_DAYS", "some"))),
        ("silence", Unknown, "nobody has looked for leads yet", |cloud| {
            Box::pin(async {
                cloud.advance(SignedDuration::from_hours(9));
                forget(cloud).await;
            })
        }),
        ("reconcile", Well, "as deployed", AS_DEPLOYED),
        (
            "reconcile",
            Wrong,
            "a lead that never came",
            at_once!(|cloud| cloud.advance(SignedDuration::from_hours(24 * 9))),
        ),
        ("reconcile", Unknown, "a state that cannot be read", at_once!(|cloud| hide_state(cloud))),
    ]
}

/// A route to a destination beside mail.
const TO_CRM: &str = r#"[{"id":"all","to":["crm"]}]"#;

fn of_leads(asked: &support::strict_table::Asked) -> bool {
    asked.table.as_deref() == Some(LEADS)
}

fn of_state(asked: &support::strict_table::Asked) -> bool {
    asked.table.as_deref() == Some(STATE)
}

/// The table is there, and what the notifier remembers in it cannot be read.
fn hide_state(cloud: &Cloud) {
    cloud.refuse_where(500, "InternalError", |asked| {
        of_state(asked) && asked.partition_key.as_deref() == Some("notifier")
    });
}

fn keys_in_parameter(cloud: &mut Cloud) {
    cloud.settings.remove("LEADS_INTAKE_KEYS");
    cloud.set("LEADS_INTAKE_KEYS_PARAMETER", "/leads/keys");
    cloud.say(|say| say.parameters = None);
}

fn string_in_parameter(cloud: &mut Cloud) {
    cloud.settings.remove("LEADS_STORAGE_CONNECTION_STRING");
    cloud.set("LEADS_STORAGE_CONNECTION_STRING_PARAMETER", "/leads/storage");
    cloud.say(|say| say.parameters = None);
}

fn many() -> String {
    (0..21).map(|number| format!("seller{number}@contoso.example")).collect::<Vec<_>>().join(";")
}

/// Asks for one check alone. The list to reconcile with has a lead of this day, as the table of a cloud that is well does.
fn event(id: &str, cloud: &Cloud) -> Value {
    match id {
        "reconcile" => {
            let day = cloud.now.strftime("%Y-%m-%d");
            list(&format!("Email,Offer,Date\nada@fabrikam.example,Contoso Backup,{day}\n"))
        }
        id => json!({"checks": [id]}),
    }
}

#[tokio::test]
async fn no_check_is_ok_where_it_cannot_know() {
    let cases = cases();
    let covered: BTreeSet<_> = cases.iter().map(|(id, state, ..)| (*id, *state)).collect();
    for known in CHECKS {
        for state in [Well, Wrong, Unknown] {
            assert!(covered.contains(&(known.id.name(), state)), "{} has no case that is {state:?}", known.id);
        }
    }
    for (id, state, what, make) in cases {
        let mut cloud = Cloud::well().await;
        make(&mut cloud).await;
        let report = cloud.validate(event(id, &cloud)).await;
        let found = check(&report, id);
        let is_right = match state {
            Well => found.status == Status::Ok,
            Wrong => matches!(found.status, Status::Warning | Status::Failed),
            Unknown => found.status != Status::Ok,
        };
        assert!(is_right, "{id}: {what}\n{}", report.report);
        assert_eq!(found.cure.is_some(), state != Well, "{id}: {what}\n{}", report.report);
    }
}

/// The checks that ended with a status, by their names.
fn ended(report: &Report, status: Status) -> Vec<&'static str> {
    report.checks.iter().filter(|check| check.status == status).map(|check| check.id.name()).collect()
}

/// Time enough for what answers on this machine, and none for what hangs.
const SHORT: Duration = Duration::from_secs(6);

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// Every check is in the report, and those that hang, or come after one that hangs, are skipped for want of time or of what
/// they need.
async fn assert_report(cloud: &Cloud, hanging: &[&str], needing: &[&str]) {
    let report = cloud.validate_within(json!({}), SHORT).await;
    assert_eq!(report.checks.len(), CHECKS.len() - 1, "{}", report.report);
    let mut skipped = [hanging, needing].concat();
    skipped.sort_by_key(|id| CHECKS.iter().position(|known| known.id.name() == *id));
    assert_eq!(ended(&report, Status::Skipped), skipped, "{}", report.report);
    assert_eq!(ended(&report, Status::Failed), [""; 0], "{}", report.report);
    for id in hanging {
        let seen = &check(&report, id).seen;
        assert!(seen.contains("the time for all checks was over"), "{id}: {seen}");
    }
}

#[tokio::test]
async fn the_report_comes_in_time_from_a_table_that_hangs() {
    let cloud = Cloud::well().await;
    cloud.service.set_faults(Some(Box::new(|_| Some(Fault::Wait(FOR_EVER)))));
    assert_report(&cloud, &["storage", "intake"], &["table", "round-trip", "notifier", "silence"]).await;
}

#[tokio::test]
async fn the_report_comes_in_time_from_an_aws_that_hangs() {
    let cloud = Cloud::well().await;
    cloud.say(|say| say.aws_delay = FOR_EVER);
    // Queue and mail run while the tables are looked at; what comes after them all has no time left.
    assert_report(&cloud, &["queue", "mail", "notifier", "intake"], &["silence"]).await;

    let mut cloud = cloud;
    cloud.settings.remove("LEADS_INTAKE_KEYS");
    cloud.set("LEADS_INTAKE_KEYS_PARAMETER", "/leads/keys");
    cloud.say(|say| say.parameters = Some(HashMap::from([("/leads/keys", KEY.to_owned())])));
    assert_report(&cloud, &["settings", "queue", "mail", "notifier", "intake"], &["silence"]).await;
}

#[tokio::test]
async fn a_test_lead_that_stays_is_named_by_its_keys() {
    // Cut off between writing and deleting; not deleted, since that is refused; written although the answer was lost.
    let cut: Make = at_once!(|cloud| cloud
        .service
        .set_faults(Some(Box::new(|asked| { (asked.operation == Operation::Get).then_some(Fault::Wait(FOR_EVER)) }))));
    let kept: Make = at_once!(|cloud| cloud
        .refuse_where(403, "AuthorizationPermissionMismatch", |asked| asked.operation == Operation::Delete));
    let lost: Make = at_once!(|cloud| cloud.service.set_faults(Some(Box::new(|asked| match asked.operation {
        Operation::Insert => Some(Fault::CutAfter),
        Operation::Delete => Some(Fault::CutBefore),
        _ => None,
    }))));
    for (id, make, status) in [
        ("round-trip", cut, Status::Skipped),
        ("round-trip", kept, Status::Failed),
        ("round-trip", lost, Status::Failed),
        ("intake", kept, Status::Failed),
    ] {
        let mut cloud = Cloud::well().await;
        make(&mut cloud).await;
        let report = cloud.validate_within(json!({"checks": [id]}), SHORT).await;
        cloud.service.set_faults(None);
        let found = check(&report, id);
        assert_eq!(found.status, status, "{id}: {}", report.report);
        let rows = cloud.test_rows().await;
        assert_eq!(rows.len(), 1, "{id}: {}", report.report);
        let keys = rows[0].keys().to_string();
        assert!(found.seen.contains(&keys), "{id}: {keys}\n{}", report.report);
        assert!(found.cure.as_ref().unwrap().contains("az storage entity delete"), "{}", report.report);
    }
}

#[tokio::test]
async fn a_test_lead_whose_insert_was_not_answered_is_deleted() {
    let cloud = Cloud::well().await;
    cloud.service.set_faults(Some(Box::new(|asked| (asked.operation == Operation::Insert).then_some(Fault::CutAfter))));
    let report = cloud.validate(json!({"checks": ["round-trip"]})).await;
    let found = check(&report, "round-trip");
    assert_eq!(found.status, Status::Failed, "{}", report.report);
    assert!(!found.seen.contains("may be in the table"), "{}", report.report);
    assert_eq!(cloud.test_rows().await, []);
}

#[tokio::test]
async fn both_intake_keys_are_tried_and_the_test_digest_goes_to_every_route() {
    let mut cloud = Cloud::well().await;
    let second = "another-key-0123456789";
    cloud.set("LEADS_INTAKE_KEYS", format!("{KEY},{second}"));
    cloud.say(|say| say.intake_keys = format!("{second},{KEY}"));
    let report = cloud.validate(json!({"checks": ["intake"]})).await;
    let found = check(&report, "intake");
    assert_eq!(found.status, Status::Ok, "{}", report.report);
    assert!(found.seen.contains("key 1 of 2") && found.seen.contains("key 2 of 2"), "{}", found.seen);
    assert_eq!(cloud.test_rows().await, []);

    let routes = json!([{"offers": ["A"], "to": ["a@fabrikam.example", "b@fabrikam.example"]}]);
    cloud.set("LEADS_ROUTES", routes.to_string());
    let report = cloud.validate(json!({"checks": ["mail"], "send": true})).await;
    let found = check(&report, "mail");
    assert!(found.seen.contains("a digest with a test lead sent to 3 recipients"), "{}", found.seen);
    let sent: Vec<_> = cloud.mails().iter().map(|mail| mail["Destination"]["ToAddresses"].clone()).collect();
    assert_eq!(sent, [json!([RECIPIENT]), json!(["a@fabrikam.example", "b@fabrikam.example"])]);
}
