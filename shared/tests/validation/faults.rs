//! One fault at a time: each is found by the right check, with a cure. `docs/validation.md` holds the table of them.

use crate::cloud::{Cloud, ELSEWHERE, KEY, LEADS, RECIPIENT, SENDER, STATE};
use futures::future::BoxFuture;
use jiff::SignedDuration;
use marketplace_leads::lead::UnreadableKind;
use marketplace_leads::mail::MailError;
use marketplace_leads::mail::memory::SendFault;
use marketplace_leads::table::{Entity, Query, Table as _};
use marketplace_leads::validate::{CHECKS, Check, Report, Status};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write as _;
use support::development_account::KEY as EMULATOR_KEY;
use support::strict_table::{Clock, DateHeader, Fault as TableFault, Operation};

/// Something that is broken, and the check that says so.
struct Fault {
    what: &'static str,
    check: &'static str,
    status: Status,
    event: Value,
    make: fn(&mut Cloud) -> BoxFuture<'_, ()>,
    /// Further checks that fail for the same reason.
    also: &'static [&'static str],
}

use Status::{Failed, Warning};

fn fault(what: &'static str, check: &'static str, status: Status, make: fn(&mut Cloud) -> BoxFuture<'_, ()>) -> Fault {
    Fault { what, check, status, event: json!({}), make, also: &[] }
}

impl Fault {
    /// Asks for this instead of everything.
    fn asking(self, event: Value) -> Self {
        Self { event, ..self }
    }

    fn failing_also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }
}

/// A fault that is made at once.
macro_rules! broken {
    ($what:literal, $check:literal, $status:ident, |$cloud:ident| $make:expr) => {
        fault($what, $check, $status, |$cloud| {
            $make;
            Box::pin(async {})
        })
    };
}

const SIGNATURE: &str = "ss=t&srt=o&spr=https";

fn faults() -> Vec<Fault> {
    vec![
        broken!("a recipient that is no address", "settings", Failed, |cloud| cloud.set("LEADS_MAIL_TO", "sales")),
        broken!("a misspelt time zone", "settings", Failed, |cloud| cloud.set("LEADS_TIME_ZONE", "Europe/Berln")),
        broken!("an intake key that is too short", "settings", Failed, |cloud| {
            cloud.settings.remove("LEADS_INTAKE_KEYS");
            cloud.set("LEADS_INTAKE_KEYS_PARAMETER", "/leads/keys");
            cloud.say(|say| say.parameters = Some(HashMap::from([("/leads/keys", "short".to_owned())])));
            cloud.say(|say| say.intake_keys = KEY.to_owned());
        })
        .failing_also(&["intake"]),
        broken!("an overlap of one minute", "settings", Warning, |cloud| cloud.set("LEADS_OVERLAP_MINUTES", "1")),
        broken!("a parameter with routes that is not there", "settings", Failed, |cloud| {
            cloud.set("LEADS_ROUTES_PARAMETER", "/leads/routes");
            cloud.say(|say| say.parameters = Some(HashMap::new()));
        }),
        broken!("a parameter with something else than routes", "settings", Failed, |cloud| {
            cloud.set("LEADS_ROUTES_PARAMETER", "/leads/routes");
            let routes = r#"[{"id":"sales","to":["sales@contoso.example"]},{"id":"sales","to":["crm"]}]"#;
            cloud.say(|say| say.parameters = Some(HashMap::from([("/leads/routes", routes.to_owned())])));
        }),
        broken!("settings that have no effect together", "settings", Warning, |cloud| {
            let routes =
                r#"[{"id":"sales","to":["sales@contoso.example"],"cadence":"daily at 20:00","window":"08:00-18:00"}]"#;
            cloud.set("LEADS_ROUTES", routes);
        }),
        broken!("a schedule that was kept from an earlier version", "settings", Warning, |cloud| {
            cloud.set("LEADS_CADENCE", "every 60 minutes");
            cloud.set("LEADS_INTERVAL_MINUTES", "60");
        }),
        broken!("a connection string that was cut", "connection-string", Failed, |cloud| {
            cloud.set(
                "LEADS_STORAGE_CONNECTION_STRING",
                "DefaultEndpointsProtocol=https;AccountName=contosoleads;Account",
            )
        })
        .failing_also(&["settings"]),
        broken!("an SSM parameter that is not there", "connection-string", Failed, |cloud| in_parameter(cloud)),
        broken!("a role that may not read the SSM parameter", "connection-string", Failed, |cloud| {
            in_parameter(cloud);
            cloud.say(|say| say.parameters = None);
        }),
        broken!("a connection string that Partner Center does not take", "connection-string", Warning, |cloud| {
            cloud.set(
                "LEADS_STORAGE_CONNECTION_STRING",
                format!("AccountName=contosoleads;AccountKey={EMULATOR_KEY};DefaultEndpointsProtocol=https;"),
            )
        })
        .asking(json!({"checks": ["connection-string"]})),
        broken!("an account key where a signature would do", "connection-string", Warning, |cloud| {
            cloud.set(
                "LEADS_STORAGE_CONNECTION_STRING",
                format!(
                    "DefaultEndpointsProtocol=https;\
                AccountName=contosoleads;AccountKey={EMULATOR_KEY};EndpointSuffix=core.windows.net"
                ),
            )
        })
        .asking(json!({"checks": ["connection-string"]})),
        broken!("a signature that expires in ten days", "connection-string", Warning, |cloud| {
            cloud.sign(&format!("{SIGNATURE}&sp=raud&se=2026-12-04"))
        }),
        broken!("an expired signature", "connection-string", Failed, |cloud| {
            cloud.sign(&format!("{SIGNATURE}&sp=raud&se=2026-11-01"));
            cloud.refuse(403, "AuthenticationFailed");
        })
        .failing_also(&["storage", "intake"]),
        broken!("a read-only signature", "round-trip", Failed, |cloud| {
            cloud.sign(&format!("{SIGNATURE}&sp=r&se=2027-06-01"));
            cloud.refuse_where(403, "AuthorizationPermissionMismatch", |asked| {
                !matches!(asked.operation, Operation::Get | Operation::Query)
            });
        })
        .failing_also(&["connection-string", "intake"]),
        broken!("an address of the tables that is another account's", "storage", Warning, |cloud| {
            cloud.set("LEADS_STORAGE_ENDPOINT", "https://another.table.core.windows.net")
        }),
        broken!("an account that does not exist", "storage", Failed, |cloud| {
            cloud.set(
                "LEADS_STORAGE_CONNECTION_STRING",
                format!(
                    "DefaultEndpointsProtocol=https;AccountName=contosoleads;\
                AccountKey={EMULATOR_KEY};EndpointSuffix=core.invalid"
                ),
            )
        })
        .asking(json!({"checks": ["storage"]})),
        broken!("a service that cannot be reached", "storage", Failed, |cloud| {
            // Port 1 of the loopback interface is nobody's.
            cloud.table_address = "http://127.0.0.1:1".to_owned();
            cloud.sign(&format!("{SIGNATURE}&sp=raud&se=2027-06-01"));
        }),
        broken!("a service without TLS behind an https address", "storage", Failed, |cloud| {
            cloud.table_address = cloud.table_address.replace("http:", "https:");
            cloud.sign(&format!("{SIGNATURE}&sp=raud&se=2027-06-01"));
        }),
        broken!("a wrong account key", "storage", Failed, |cloud| { cloud.refuse(403, "AuthenticationFailed") })
            .failing_also(&["intake"]),
        broken!("account keys not let in", "storage", Failed, |cloud| {
            cloud.refuse(403, "KeyBasedAuthenticationNotPermitted")
        })
        .failing_also(&["intake"]),
        broken!("a firewall before the account", "storage", Failed, |cloud| {
            cloud.use_account();
            cloud.refuse(403, "AuthorizationFailure");
        })
        .asking(json!({"checks": ["storage"]})),
        broken!("a disabled account", "storage", Failed, |cloud| { cloud.refuse(403, "AccountIsDisabled") })
            .failing_also(&["intake"]),
        broken!("a throttled account", "storage", Failed, |cloud| { cloud.refuse(503, "ServerBusy") })
            .failing_also(&["intake"]),
        broken!("a clock that is 20 minutes off, and requests refused for it", "storage", Failed, |cloud| {
            set_clock_ahead(cloud);
            cloud.refuse(403, "AuthenticationFailed");
        })
        .failing_also(&["intake"]),
        broken!("a clock that is 20 minutes off", "table", Failed, |cloud| set_clock_ahead(cloud)),
        broken!("no table with leads", "table", Failed, |cloud| {
            cloud.refuse_where(404, "TableNotFound", |asked| asked.table.as_deref() == Some(LEADS))
        })
        .failing_also(&["intake"]),
        broken!("no state table", "table", Warning, |cloud| {
            cloud.refuse_where(404, "TableNotFound", |asked| asked.table.as_deref() == Some(STATE))
        }),
        broken!("something that changes rows", "round-trip", Failed, |cloud| {
            // Its first insert is that of `round-trip`.
            let mut is_changed = false;
            cloud.service.set_faults(Some(Box::new(move |asked| {
                if asked.operation != Operation::Insert || std::mem::replace(&mut is_changed, true) {
                    return None;
                }
                Some(TableFault::Changed { property: "ActionCode", json: "\"INS\"".to_owned() })
            })));
        }),
        broken!("an intake that is down", "intake", Failed, |cloud| {
            cloud.set("LEADS_INTAKE_URL", "http://127.0.0.1:1/leads")
        }),
        broken!("another key at intake", "intake", Failed, |cloud| {
            cloud.say(|say| say.intake_keys = "another-key-0123456789".to_owned())
        }),
        broken!("an intake that is open to everyone", "intake", Failed, |cloud| cloud
            .say(|say| say.intake_status = Some(200))),
        broken!("an intake that takes only one of its two keys", "intake", Failed, |cloud| {
            cloud.set("LEADS_INTAKE_KEYS", format!("{KEY},another-key-0123456789"))
        }),
        fault("a test lead that cannot be deleted", "round-trip", Failed, |cloud| {
            cloud.refuse_where(403, "AuthorizationPermissionMismatch", |asked| asked.operation == Operation::Delete);
            Box::pin(async {})
        })
        .failing_also(&["intake"]),
        broken!("a function URL that lets nobody in", "intake", Failed, |cloud| {
            cloud.say(|say| say.intake_status = Some(403))
        }),
        broken!("an intake that fails", "intake", Failed, |cloud| cloud.say(|say| say.intake_status = Some(502))),
        broken!("an intake that does not reach the table", "intake", Failed, |cloud| {
            write_elsewhere(cloud);
            cloud.refuse_where(503, "ServerBusy", |asked| asked.table.as_deref() == Some(ELSEWHERE));
        }),
        broken!("an intake that writes to another table", "intake", Failed, |cloud| write_elsewhere(cloud)),
        broken!("leads waiting in the queue", "queue", Warning, |cloud| cloud.say(|say| say.waiting = [3, 0])),
        broken!("a full dead-letter queue", "queue", Failed, |cloud| cloud.say(|say| say.waiting = [0, 7])),
        broken!("a queue that is gone", "queue", Failed, |cloud| cloud.say(|say| say.queue_is_gone = true)),
        broken!("an SES account in the sandbox", "mail", Warning, |cloud| {
            cloud.say(|say| say.account["ProductionAccessEnabled"] = false.into())
        }),
        broken!("a recipient that the sandbox refuses", "mail", Failed, |cloud| {
            cloud.say(|say| say.account["ProductionAccessEnabled"] = false.into());
            cloud.set("LEADS_MAIL_TO", format!("{RECIPIENT};boss@fabrikam.example"));
        }),
        broken!("paused sending", "mail", Failed, |cloud| cloud
            .say(|say| say.account["SendingEnabled"] = false.into())),
        broken!("an account under review", "mail", Warning, |cloud| {
            cloud.say(|say| say.account["EnforcementStatus"] = "PROBATION".into())
        }),
        broken!("a used-up quota", "mail", Failed, |cloud| {
            cloud.say(|say| say.account["SendQuota"]["SentLast24Hours"] = 50_000.0.into())
        }),
        broken!("an unknown sender", "mail", Failed, |cloud| cloud.say(|say| say.identities.clear())),
        broken!("an unverified sender", "mail", Failed, |cloud| {
            cloud.say(|say| say.identities = vec![(SENDER, false, false)])
        }),
        broken!("a sender whose mails are not signed", "mail", Warning, |cloud| {
            cloud.say(|say| say.identities = vec![(SENDER, true, false)])
        }),
        broken!("a suppressed recipient", "mail", Failed, |cloud| cloud.say(|say| say.suppressed = vec![RECIPIENT])),
        fault("a notifier that never ran", "notifier", Warning, |cloud| Box::pin(forget(cloud))),
        broken!("a suppressed recipient of a route", "mail", Failed, |cloud| {
            let routes = json!([{"offers": ["Contoso Backup"], "to": ["route@fabrikam.example"]}]);
            cloud.set("LEADS_ROUTES", routes.to_string());
            cloud.say(|say| say.suppressed = vec!["route@fabrikam.example"]);
        }),
        broken!("a configuration set that does not exist", "mail", Failed, |cloud| {
            cloud.say(|say| say.configuration_sets.clear())
        }),
        broken!("a configuration set that sends nothing", "mail", Failed, |cloud| {
            cloud.say(|say| say.configuration_sets = vec![("leads", false)])
        }),
        broken!("a notifier that runs no more", "notifier", Failed, |cloud| cloud
            .advance(SignedDuration::from_hours(5))),
        fault("a paused notifier", "notifier", Warning, |cloud| {
            Box::pin(async {
                let pause = marketplace_leads::notify::Command::Pause;
                cloud.notifier().execute(pause, "pause", cloud.now).await.unwrap();
            })
        }),
        fault("a schedule that runs the notifier more rarely than the settings say", "notifier", Warning, |cloud| {
            Box::pin(async {
                cloud.set("LEADS_INTERVAL_MINUTES", "5");
                for _ in 0..11 {
                    cloud.advance(SignedDuration::from_mins(90));
                    cloud.run_notifier().await;
                }
            })
        }),
        fault("leads under keys that are no days", "notifier", Warning, |cloud| {
            Box::pin(async {
                cloud.put(Entity::new("partner", "row").with("LeadSource", "AzureMarketplace"));
                cloud.advance(SignedDuration::from_hours(25));
                for _ in 0..3 {
                    cloud.run_notifier().await;
                    cloud.advance(SignedDuration::from_mins(20));
                }
            })
        }),
        fault("a lead that was given up", "notifier", Failed, |cloud| {
            Box::pin(async {
                cloud.mailer.set_refused_content(Some(Box::new(|_| true)));
                cloud.arrive("Grace");
                for _ in 0..6 {
                    cloud.run_notifier().await;
                    cloud.advance(SignedDuration::from_mins(60));
                }
            })
        }),
        fault("a route whose leads are refused", "notifier", Failed, |cloud| {
            Box::pin(async {
                let refused =
                    MailError::Destination { code: "MessageRejected".into(), cure: "verify the sender".into() };
                cloud.mailer.fail_next(9, &SendFault::Before(refused));
                cloud.arrive("Grace");
                cloud.run_notifier().await;
            })
        }),
        fault("a body in quarantine", "notifier", Warning, |cloud| {
            Box::pin(async {
                let message = "The body is not JSON.".to_owned();
                let unreadable = marketplace_leads::lead::Unreadable { kind: UnreadableKind::Syntax, message };
                marketplace_leads::quarantine::keep(&cloud.state, b"{", &unreadable, cloud.now, 0).await.unwrap();
            })
        }),
        fault("no lead for nine days", "silence", Warning, |cloud| {
            Box::pin(async {
                cloud.advance(SignedDuration::from_hours(9 * 24));
                cloud.run_notifier().await;
            })
        }),
        broken!("a lead in Partner Center's list that is not in the table", "reconcile", Failed, |_cloud| {}).asking(
            list(
                "Contact Email,Offer Name,Created Date\nada@fabrikam.example,Contoso Backup,11/24/2026\n\
             grace@fabrikam.example,Contoso Backup,11/24/2026 3:05:00 PM\n",
            ),
        ),
        broken!("a lead in the table that was never mailed", "reconcile", Failed, |cloud| {
            let now = cloud.now;
            cloud.advance(SignedDuration::from_hours(-24));
            cloud.arrive("Grace");
            cloud.advance(now.duration_since(cloud.now));
        })
        .asking(list(
            "Email;Offer;Date\nADA@fabrikam.example;Contoso.Backup;2026-11-24\n\
             grace@fabrikam.example;contoso backup;2026-11-23\n",
        )),
        broken!("a list without addresses", "reconcile", Failed, |_cloud| {})
            .asking(list("Name,Offer\nAda,Contoso Backup\n")),
        broken!("a list whose dates can be read in two ways", "reconcile", Warning, |cloud| {
            cloud.advance(SignedDuration::from_hours(24 * 15));
            cloud.arrive("Grace");
        })
        .asking(list("Email,Date\ngrace@fabrikam.example,12/09/2026\n")),
        broken!("a list with a date that cannot be read", "reconcile", Warning, |_cloud| {})
            .asking(list("Email,Date\nada@fabrikam.example,2026-11-24\nada@fabrikam.example,last week\n")),
    ]
}

pub(crate) fn list(csv: &str) -> Value {
    json!({"checks": ["reconcile"], "reconcile": {"csv": csv}})
}

fn in_parameter(cloud: &mut Cloud) {
    cloud.settings.remove("LEADS_STORAGE_CONNECTION_STRING");
    cloud.set("LEADS_STORAGE_CONNECTION_STRING_PARAMETER", "/leads/storage");
}

fn set_clock_ahead(cloud: &Cloud) {
    cloud.service.set_date_header(DateHeader::Of(Clock::Ahead(SignedDuration::from_mins(20))));
}

/// Has intake write to another table than validation reads.
fn write_elsewhere(cloud: &Cloud) {
    *cloud.intake_table.lock().unwrap() = cloud.tables.table(ELSEWHERE);
}

/// Takes away everything that the notifier remembers.
pub(crate) async fn forget(cloud: &Cloud) {
    for row in cloud.state.all(&Query::default()).await.unwrap() {
        cloud.state.delete(&row.keys()).await.unwrap();
    }
}

pub(crate) fn check<'a>(report: &'a Report, id: &str) -> &'a Check {
    report
        .checks
        .iter()
        .find(|check| check.id.name() == id)
        .unwrap_or_else(|| panic!("no check {id}: {}", report.report))
}

/// Nothing of these may ever be in a result.
fn assert_no_secret(report: &Report) {
    let shown = serde_json::to_string(report).unwrap();
    for secret in [KEY, EMULATOR_KEY, "c2lnbmF0dXJl", "another-key", RECIPIENT, SENDER, "boss@", "route@", "Lovelace"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

#[tokio::test]
async fn where_all_is_well_every_check_is_ok_and_nothing_is_left_behind() {
    let cloud = Cloud::well().await;
    let before = cloud.state.all(&Query::default()).await.unwrap();
    let report = cloud.validate(json!({})).await;
    let ids: Vec<_> = report.checks.iter().map(|check| check.id.name()).collect();
    let known: Vec<_> = CHECKS.iter().map(|check| check.id.name()).filter(|id| *id != "reconcile").collect();
    assert_eq!(ids, known);
    assert!(report.checks.iter().all(|check| check.status == Status::Ok && check.cure.is_none()), "{}", report.report);
    assert!(report.ok, "{}", report.summary);
    assert_eq!(cloud.test_rows().await, []);
    assert_eq!(cloud.state.all(&Query::default()).await.unwrap(), before, "validation never moves the watermark");
    assert_no_secret(&report);
}

#[tokio::test]
async fn runs_that_find_nothing_to_do_are_well_although_not_each_of_them_is_recorded() {
    for interval in [1, 5, 15, 60] {
        let mut cloud = Cloud::well().await;
        cloud.set("LEADS_INTERVAL_MINUTES", interval.to_string());
        for _ in 0..25 {
            cloud.run_notifier().await;
            // The schedule is not exact to the second.
            cloud.advance(SignedDuration::from_mins(interval) - SignedDuration::from_secs(1));
            let report = cloud.validate(json!({"checks": ["notifier"]})).await;
            assert_eq!(check(&report, "notifier").status, Status::Ok, "{interval}: {}", report.report);
        }
    }
}

#[tokio::test]
async fn every_fault_is_found_by_its_check_with_a_cure_as_the_documentation_says() {
    let mut rows = String::new();
    for fault in faults() {
        let mut cloud = Cloud::well().await;
        (fault.make)(&mut cloud).await;
        let report = cloud.validate(fault.event.clone()).await;
        let found = check(&report, fault.check);
        assert_eq!(found.status, fault.status, "{}\n{}", fault.what, report.report);
        assert!(found.cure.as_ref().is_some_and(|cure| cure.len() > 20), "{}\n{}", fault.what, report.report);
        assert_eq!(report.ok, report.checks.iter().all(|check| check.status != Failed));
        let others = report.checks.iter().filter(|other| other.id.name() != fault.check && other.status == Failed);
        let others: Vec<_> = others.map(|other| other.id.name()).collect();
        assert_eq!(others, fault.also, "{}\n{}", fault.what, report.report);
        assert_no_secret(&report);
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(
            rows,
            "| {} | `{}` | {} | {} | {} |",
            fault.what,
            found.id,
            found.status.name(),
            cell(&steady(&found.seen)),
            cell(&steady(found.cure.as_deref().unwrap_or_default()))
        )
        .unwrap();
    }
    let checks: String = CHECKS.iter().map(|check| format!("| `{}` | {} |\n", check.id, check.does)).collect();
    let generated = format!(
        "| check | does |\n|---|---|\n{checks}\n## What it finds\n\nOne fault at a time, as the tests make them:\n\n\
         | what is wrong | check | status | what is seen | what to do |\n|---|---|---|---|---|\n{rows}"
    );
    documented(&generated);
}

/// Without what differs from run to run: latencies, ports.
fn steady(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let number =
        |at: usize| words[at].parse::<u64>().is_ok() && words.get(at + 1).is_some_and(|next| next.starts_with("ms"));
    let words: Vec<&str> = (0..words.len()).map(|at| if number(at) { "…" } else { words[at] }).collect();
    words.join(" ")
}

/// Compares what is generated with `docs/validation.md`; `UPDATE_DOCS=1` writes it there.
fn documented(generated: &str) {
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/validation.md");
    const MARKS: [&str; 2] =
        ["<!-- generated by the tests; UPDATE_DOCS=1 writes it -->\n", "<!-- end of what is generated -->\n"];
    let text = std::fs::read_to_string(FILE).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).unwrap();
    let (known, after) = rest.split_once(MARKS[1]).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(FILE, format!("{before}{}{generated}{}{after}", MARKS[0], MARKS[1])).unwrap();
    } else {
        assert_eq!(known, generated, "docs/validation.md is not true any more: run the tests with UPDATE_DOCS=1");
    }
}
