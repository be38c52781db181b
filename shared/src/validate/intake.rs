//! The check `intake`: sends a test lead by HTTPS, as Microsoft does, and looks for its row.

use super::findings::{Fault, Findings};
use super::settings::is_wrong;
use super::table::{Tables, delete};
use super::test_lead::{TestLeads, next, test_lead};
use crate::aws::SecretError;
use crate::lead::{Day, Lead, StoredLead};
use crate::secret::Secret;
use crate::settings::{ValidationSettings, variables};
use crate::table::{Keys, Table as _, TableError};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::error::Error as _;
use std::time::{Duration, Instant};
use url::Url;

/// How long an answer is waited for.
const LIMIT: Duration = Duration::from_secs(15);

/// An answer to a lead that is slower than this is worth a look.
const SLOW: Duration = Duration::from_secs(3);

/// What the answers to the POSTs leave open about the test lead's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    /// It was not written.
    Absent,
    /// It may have been written, or be written yet.
    Unknown,
    /// It is in the table.
    Stored,
}

pub(super) async fn check(
    settings: &ValidationSettings,
    keys: Option<Result<Secret, SecretError>>,
    (tables, test_leads): (Option<&Tables>, &TestLeads),
    leave: bool,
    now: Timestamp,
) -> (Findings, Option<()>) {
    let mut findings = Findings::default();
    let Some(url) = &settings.intake_url else {
        if is_wrong(settings, variables::INTAKE_URL) {
            return (Findings::skip("LEADS_INTAKE_URL is wrong", "see `settings`"), None);
        }
        // The template sets it wherever there is an intake.
        findings.saw("no intake is deployed (HttpsIntake is off): leads come by the table alone");
        return (findings, None);
    };
    let keys: Vec<_> = match &keys {
        Some(Ok(keys)) => keys.expose().split(',').map(str::trim).filter(|key| !key.is_empty()).collect(),
        Some(Err(_)) => return (Findings::skip("the intake keys cannot be had", "see `settings`"), None),
        None => Vec::new(),
    };
    if keys.is_empty() {
        return (Findings::skip("there is no intake key", "see `settings`"), None);
    }
    let client = reqwest::Client::builder()
        .timeout(LIMIT)
        .connect_timeout(Duration::from_secs(3))
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let Ok(client) = client else {
        findings.fail("the TLS client could not be set up", "report this");
        return (findings, None);
    };
    // The first request is without the key. It also starts an instance of the function, so that the second answer takes as
    // long as most answers do.
    let lead = test_lead(next(now));
    let row = Keys::new(Day::of(now).partition_key(), lead.id());
    test_leads.note(row.clone());
    let (status, woken) = match post(&client, url, None, &lead).await {
        Ok((status, _, took)) => (status, took),
        Err(reason) => {
            findings.fail(
                format!("intake does not answer: {reason}"),
                "see that the stack is deployed and that LEADS_INTAKE_URL is its output IntakeUrl",
            );
            // Without a key, nothing is stored.
            test_leads.strike(&row);
            return (findings, None);
        }
    };
    let mut outcome = Row::Absent;
    match status {
        401 => findings.saw("401 without the key"),
        200..=299 => {
            outcome = Row::Stored;
            findings.fail(
                format!("intake takes leads without a key ({status})"),
                "see that LEADS_INTAKE_URL is the stack's output IntakeUrl, and nothing in front of it adds a key",
            );
        }
        _ => {
            findings.fault(unexpected(status));
            test_leads.strike(&row);
            return (findings, None);
        }
    }
    for (at, key) in keys.iter().enumerate() {
        let which = if keys.len() == 1 { "the key".to_owned() } else { format!("key {} of {}", at + 1, keys.len()) };
        let answer = post(&client, url, Some(key), &lead).await;
        let is_answered = answer.is_ok();
        outcome = outcome.max(judge(&mut findings, answer, &which, woken, &lead));
        if !is_answered {
            break;
        }
    }
    match (outcome, tables) {
        (Row::Absent, _) => test_leads.strike(&row),
        (Row::Stored, None) => findings.warn(
            "its row was neither looked for nor deleted, since the table cannot be read; no mail ever holds it",
            "mend `table` first",
        ),
        (Row::Unknown, None) => {}
        (_, Some(tables)) => {
            test_leads.strike(&row);
            find_row(&mut findings, &lead, (tables, test_leads), outcome == Row::Stored, leave, now).await;
        }
    }
    (findings, None)
}

/// What an answer to the test lead with a key says, and what it leaves open about its row.
fn judge(
    findings: &mut Findings,
    answer: Result<(u16, Value, Duration), &'static str>,
    which: &str,
    woken: Duration,
    lead: &Lead,
) -> Row {
    match answer {
        Err(reason) => {
            findings.fail(
                format!("intake does not answer: {reason}"),
                "look at lead-intake's logs and at the alarm on its errors",
            );
            Row::Unknown
        }
        Ok((status @ (200 | 201), answer, took)) => {
            findings.saw(format!(
                "{status} with {which} in {} ms (the first answer took {} ms)",
                took.as_millis(),
                woken.as_millis()
            ));
            if answer["id"] != lead.id().as_str() {
                findings.fail(
                    "the answer does not name the lead's id",
                    "deploy intake and validation from the same version",
                );
            }
            if took > SLOW {
                findings.warn(
                    "the answer is slow",
                    "see `storage` for how long the table takes, and lead-intake's latency on the dashboard",
                );
            }
            Row::Stored
        }
        Ok((202, answer, _)) if answer["status"] == "quarantined" => {
            findings.fail(
                "the table will never take the test lead, and intake quarantined it (202)",
                "see lead-intake's logs for the table service's answer; see `storage` and `round-trip`",
            );
            Row::Absent
        }
        Ok((202, ..)) => {
            findings.fail(
                "intake could not store the test lead and queued it (202): it does not reach the table",
                "see `storage` and `round-trip`, and lead-intake's logs; redelivery stores the lead once the table answers, \
                 and no mail ever holds it",
            );
            Row::Unknown
        }
        Ok((401, ..)) => {
            findings.fail(
                format!("intake does not take {which} (401)"),
                "see that the parameter holds the key, and that it was put there more than a minute ago: intake reads it again once \
                 a minute at most; give Partner Center the URL with a key that it takes",
            );
            Row::Absent
        }
        Ok((status, ..)) => {
            findings.fault(unexpected(status));
            if status >= 500 { Row::Unknown } else { Row::Absent }
        }
    }
}

/// Status, answer and latency of one POST; or why there was none, without the address, which holds the key.
async fn post(
    client: &reqwest::Client,
    url: &Url,
    key: Option<&str>,
    lead: &Lead,
) -> Result<(u16, Value, Duration), &'static str> {
    let mut url = url.clone();
    if let Some(key) = key {
        url.query_pairs_mut().append_pair("code", key);
    }
    let customer: serde_json::Map<_, _> =
        lead.customer.known().into_iter().map(|(name, text)| (name.to_owned(), Value::from(text.as_str()))).collect();
    let body = json!({
        "UserDetails": customer,
        "LeadSource": lead.lead_source,
        "ActionCode": lead.action_code,
        "OfferTitle": lead.offer_title,
        "Description": lead.description,
    });
    let started = Instant::now();
    let answer = client.post(url).json(&body).send().await.map_err(|error| reason(&error))?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.map_err(|error| reason(&error))?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default(), started.elapsed()))
}

fn reason(error: &reqwest::Error) -> &'static str {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    let text: Vec<_> = causes.map(ToString::to_string).collect();
    let text = text.join(": ");
    if error.is_timeout() {
        "no answer in time"
    } else if text.contains("dns error") {
        "its name does not resolve"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

/// Statuses that are not intake's answer to a lead. 403, 429 and 502 are the function URL's own.
fn unexpected(status: u16) -> Fault {
    let (seen, cure) = match status {
        403 => (
            "the function URL lets nobody in (403)",
            "deploy the template again: intake's URL needs AuthType NONE and a permission for everyone",
        ),
        404 | 405 => (
            "there is no intake at this address",
            "set LEADS_INTAKE_URL to the stack's output IntakeUrl, /leads included",
        ),
        429 => (
            "intake is at its concurrency (429)",
            "see who else posts to it (the dashboard's 401s), and raise the stack's parameter for intake's concurrency",
        ),
        500..=599 => (
            "intake fails",
            "look at lead-intake's logs: mostly its settings are wrong, or the table and the queue cannot be reached",
        ),
        _ => ("intake answers otherwise than expected", "look at lead-intake's logs"),
    };
    let seen = if seen.contains('(') { seen.to_owned() } else { format!("{seen} ({status})") };
    Fault::new(seen, cure)
}

/// Looks for the lead's row, by the day on which intake received it, and deletes it. It is named as a test lead that may stay
/// where it is found and cannot be deleted, and where nobody knows whether it is yet to be written.
async fn find_row(
    findings: &mut Findings,
    lead: &Lead,
    (tables, test_leads): (&Tables, &TestLeads),
    is_stored: bool,
    leave: bool,
    now: Timestamp,
) {
    let today = Day::of(now);
    let places = [today, today.after(), today.before()].map(|day| Keys::new(day.partition_key(), lead.id()));
    for keys in &places {
        test_leads.note(keys.clone());
        let entity = match tables.leads.get(keys).await {
            Ok(entity) => entity,
            Err(TableError::NotFound) => {
                test_leads.strike(keys);
                continue;
            }
            Err(error) => {
                findings.fault(tables.account.explain(&error).of("its row could not be read"));
                return;
            }
        };
        match StoredLead::from_entity(&entity) {
            Ok(stored) if stored.lead == *lead => findings.saw("its row found, the same in every field"),
            _ => findings
                .fail("its row differs from what was sent", "deploy intake and validation from the same version"),
        }
        if leave {
            findings.saw("left");
            test_leads.strike(keys);
            return;
        }
        match delete(tables, keys).await {
            Ok(_) => test_leads.strike(keys),
            Err(error) => {
                findings.fault(tables.account.explain(&error).of("its row could not be deleted; no mail ever holds it"))
            }
        }
        return;
    }
    if is_stored {
        findings.fail(
            "its row is not in the table",
            "see that intake and validation have the same storage account and LEADS_TABLE",
        );
    } else {
        test_leads.note(places[0].clone());
    }
}
