//! The check `reconcile`: Partner Center's own list of leads against the table and the digests.
//!
//! A lead of the list is in the table where a row has the same address (normalised), an offer that is the same by title or
//! id (or unknown on either side), and a day that is at most one off (the list's time zone is unknown). Several leads of the
//! list may be the same row: intake stores a repeat on the same day once.

use super::findings::{Fault, Findings, count};
use super::request::Leads;
use super::table::Tables;
use crate::lead::{Day, StoredLead, column};
use crate::notify::{NotifyError, Recorded, recorded_since, status};
use crate::table::{Entity, Keys, Query, pages};
use futures::StreamExt as _;
use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan as _};
use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::time::Duration;

/// The most partitions that are read side by side.
const QUERIES_AT_ONCE: usize = 8;

/// The most leads that Partner Center exports.
const MOST_ROWS: usize = 5_000;

/// The most bytes of a list.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// So many leads of each kind are named; an answer of Lambda holds 6 MB.
const MOST_NAMED: usize = 1_000;

/// The headings under which a column may stand, in lower case without anything but letters and digits.
const EMAIL: &[&str] =
    &["email", "emailaddress", "customeremail", "contactemail", "leademail", "customeremailaddress", "mail"];
const OFFER: &[&str] = &[
    "offer",
    "offername",
    "offertitle",
    "offerdisplayname",
    "offerid",
    "product",
    "productname",
    "producttitle",
    "productid",
    "solution",
    "solutionname",
    "marketplaceoffer",
];
const TIME: &[&str] = &[
    "date",
    "time",
    "created",
    "createdon",
    "createdat",
    "createddate",
    "createdtime",
    "datecreated",
    "creationdate",
    "leaddate",
    "leadtime",
    "leadcreateddate",
    "leadcreated",
    "received",
    "receiveddate",
    "referraldate",
    "timestamp",
];
const NAME: &[&str] =
    &["name", "fullname", "contactname", "customername", "firstname", "lastname", "contact", "leadname"];

/// One lead of the list.
struct Listed {
    /// Its line in the file, from 1.
    line: u64,
    name: String,
    email: String,
    offer: String,
    day: Option<Date>,
}

/// A row of the table, as far as it is compared.
struct Row {
    keys: Keys,
    offers: [String; 2],
    day: Option<Date>,
}

pub(super) async fn check(leads: &Leads, tables: &Tables, now: Timestamp) -> (Findings, Option<()>) {
    let mut findings = Findings::default();
    let text = match leads {
        Leads::Csv(text) => Ok(text.clone()),
        Leads::S3(url) => download(url.clone()).await,
    };
    let text = match text {
        Ok(text) => text,
        Err(fault) => {
            findings.fault(fault);
            return (findings, None);
        }
    };
    let listed = match read(&text) {
        Ok(listed) => listed,
        Err(fault) => {
            findings.fault(fault);
            return (findings, None);
        }
    };
    match compare(&mut findings, &listed, tables, now).await {
        Ok(()) => {}
        Err(NotifyError::Table(error)) => {
            findings.fault(tables.account.explain(&error));
        }
        Err(error) => findings.fail(error.to_string(), "see `notifier`"),
    }
    (findings, None)
}

async fn download(url: url::Url) -> Result<String, Fault> {
    let again = "presign it again (aws s3 presign s3://<bucket>/<key>) and run this soon";
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|_| Fault::new("the TLS client could not be set up", "report this"))?;
    // Errors of the client name the URL, which is signed.
    let failed = |_| Fault::new("S3 could not be reached", again);
    let mut answer = client.get(url).send().await.map_err(failed)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(Fault::new(format!("S3 does not give the file ({})", status.as_u16()), again));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST_BYTES {
            return Err(Fault::new("the file is larger than any list of leads", "name the right file"));
        }
    }
    String::from_utf8(bytes).map_err(|_| not_utf8())
}

fn not_utf8() -> Fault {
    Fault::new("the file is not UTF-8", "save it as CSV UTF-8")
}

impl Leads {
    /// How many leads a file of Partner Center's has.
    ///
    /// # Errors
    /// Where it is none; the error says why and what to do, and holds nothing of it.
    pub fn count(csv: &str) -> Result<usize, String> {
        read(csv).map(|listed| listed.len()).map_err(|Fault { seen, cure }| format!("{seen}: {cure}"))
    }
}

/// Reads the list, whatever its headings are called and in whatever order they stand.
fn read(text: &str) -> Result<Vec<Listed>, Fault> {
    let text = text.trim_start_matches('\u{feff}');
    let headings = text.lines().next().unwrap_or_default();
    let occurs = |delimiter: char| headings.matches(delimiter).count();
    let delimiter = [',', ';', '\t'].into_iter().max_by_key(|delimiter| (occurs(*delimiter), *delimiter == ','));
    let delimiter = u8::try_from(delimiter.unwrap_or(',')).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let malformed = |_| Fault::new("the file is no CSV", "give the file as Partner Center exported it");
    let headings: Vec<String> = reader.headers().map_err(malformed)?.iter().map(heading).collect();
    // The order of the names counts: the first one that there is.
    let column = |names: &[&str]| names.iter().find_map(|name| headings.iter().position(|heading| heading == name));
    let columns = |names: &[&str]| -> Vec<usize> {
        (0..headings.len()).filter(|at| names.contains(&headings[*at].as_str())).collect()
    };
    let Some(email) = column(EMAIL) else {
        return Err(Fault::new(
            "no column has the addresses",
            "call the column with the addresses Email; further columns are Offer, Date and Name, each under any usual name",
        ));
    };
    let (offer, time, names) = (column(OFFER), column(TIME), columns(NAME));
    let mut listed = Vec::new();
    for record in reader.records() {
        let record = record.map_err(malformed)?;
        let field = |at: usize| record.get(at).unwrap_or_default().trim();
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if listed.len() == MOST_ROWS {
            return Err(Fault::new(
                format!("the file has more than {MOST_ROWS} leads"),
                "give it in parts, each with the first line",
            ));
        }
        let name: Vec<_> = names.iter().map(|at| field(*at)).filter(|name| !name.is_empty()).collect();
        listed.push(Listed {
            line: record.position().map_or(0, csv::Position::line),
            name: name.join(" "),
            email: field(email).to_lowercase(),
            offer: offer.map(field).unwrap_or_default().to_lowercase(),
            day: time.map(field).and_then(day),
        });
    }
    Ok(listed)
}

fn heading(text: &str) -> String {
    text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The day of a time in the forms of exports: ISO, or American as Partner Center writes.
fn day(text: &str) -> Option<Date> {
    let time = text.parse::<Timestamp>().ok().map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).date());
    time.or_else(|| text.parse::<DateTime>().ok().map(DateTime::date)).or_else(|| {
        let start = text.split([' ', 'T', ',']).next().unwrap_or_default();
        let forms = ["%m/%d/%Y", "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d-%b-%Y"];
        let named = ["%b %d, %Y", "%B %d, %Y", "%d %b %Y"];
        let short = forms.iter().find_map(|form| Date::strptime(form, start).ok());
        short.or_else(|| named.iter().find_map(|form| Date::strptime(form, text).ok()))
    })
}

async fn compare(
    findings: &mut Findings,
    listed: &[Listed],
    tables: &Tables,
    now: Timestamp,
) -> Result<(), NotifyError> {
    if listed.is_empty() {
        findings.warn("the file has no leads", "give the file as Partner Center exported it, with its first line");
        return Ok(());
    }
    let notifier = status(&tables.state, now).await?.unwrap_or_default();
    let rows = rows(listed, tables, notifier.extra_partitions > 0).await?;
    let oldest = listed.iter().filter_map(|lead| lead.day).min();
    let since = oldest.map_or(Timestamp::UNIX_EPOCH, |day| start(day.saturating_sub(2.days())));
    let recorded = recorded_since(&tables.state, since, now).await?;

    let (mut missing, mut unmailed, mut waiting, mut dropped, mut no_address) = (Vec::new(), Vec::new(), 0, 0, 0);
    for lead in listed {
        if lead.email.is_empty() {
            no_address += 1;
            continue;
        }
        let matches: Vec<_> =
            rows.get(&lead.email).into_iter().flatten().filter(|(row, _)| is_same(lead, row)).collect();
        if matches.is_empty() {
            missing.push(lead.describe());
            continue;
        }
        let statuses: Vec<_> = matches.iter().map(|(row, _)| recorded.get(&row.keys).copied()).collect();
        let is_new = |(_, written): &&(Row, Option<Timestamp>)| {
            notifier.watermark.is_none_or(|watermark| written.is_none_or(|written| written > watermark))
        };
        if statuses.contains(&Some(Recorded::Sent)) {
        } else if statuses.contains(&Some(Recorded::Dropped)) {
            dropped += 1;
        } else if statuses.contains(&Some(Recorded::Owed)) || matches.iter().copied().any(|found| is_new(&found)) {
            waiting += 1;
        } else {
            unmailed.push(lead.describe());
        }
    }
    report(findings, listed.len(), &missing, &unmailed, (waiting, dropped, no_address), now);
    Ok(())
}

fn report(
    findings: &mut Findings,
    listed: usize,
    missing: &[String],
    unmailed: &[String],
    (waiting, dropped, no_address): (usize, usize, usize),
    now: Timestamp,
) {
    let compared = listed - no_address;
    findings.saw(format!("in the table: {} of {}", compared - missing.len(), count(compared, "lead")));
    if !missing.is_empty() {
        findings.fail(
            format!("missing: {}", missing.len()),
            "enter these leads by hand: Microsoft sends none again. See in Partner Center which destination it had on their days",
        );
        findings.details.push("missing from the table:".to_owned());
        findings.details.extend(missing.iter().take(MOST_NAMED).cloned());
    }
    if !unmailed.is_empty() {
        let today = Day::of(now);
        findings.fail(
            format!("never mailed, as far as the log tells: {}", unmailed.len()),
            format!(
                "mail them with the notifier's backfill: {{\"command\":\"backfill\",\"since\":\"<first day>\",\"until\":\"{today}\"}}; \
                 the log is kept for LEADS_RETENTION_DAYS only, so leads older than that are named here although they \
                 may have been mailed"
            ),
        );
        findings.details.push("never mailed:".to_owned());
        findings.details.extend(unmailed.iter().take(MOST_NAMED).cloned());
    }
    for (number, what) in [
        (waiting, "waiting for the next run"),
        (dropped, "kept out of the mails by the settings"),
        (no_address, "without an address in the file, not compared"),
    ] {
        if number > 0 {
            findings.saw(format!("{what}: {number}"));
        }
    }
    let named = missing.len().max(unmailed.len());
    if named > MOST_NAMED {
        findings.saw(format!("the first {MOST_NAMED} are named"));
    }
}

/// The rows that leads of the list can be, by address.
async fn rows(
    listed: &[Listed],
    tables: &Tables,
    whole_table: bool,
) -> Result<HashMap<String, Vec<(Row, Option<Timestamp>)>>, NotifyError> {
    let days: Option<Vec<Date>> = listed.iter().filter(|lead| !lead.email.is_empty()).map(|lead| lead.day).collect();
    let days: BTreeSet<Date> = days
        .unwrap_or_default()
        .into_iter()
        .flat_map(|day| (-2..=2).map(move |by: i64| day.saturating_add(by.days())))
        .collect();
    let select = vec![
        column::CUSTOMER_INFO,
        column::LEAD_SOURCE,
        column::OFFER_DISPLAY_NAME,
        column::CREATED_TIME,
        column::RECEIVED_TIME,
        column::SOURCE,
    ];
    let query = Query { select, ..Query::default() };
    let queries = if whole_table || days.is_empty() {
        vec![query]
    } else {
        let partition = |day: &Date| Day::of(start(*day)).partition_key();
        days.iter().map(|day| Query { partition_key: Some(partition(day)), ..query.clone() }).collect()
    };
    let addresses: BTreeSet<&str> = listed.iter().map(|lead| lead.email.as_str()).collect();
    let mut rows: HashMap<String, Vec<(Row, Option<Timestamp>)>> = HashMap::new();
    let mut pages = pin!(pages(&tables.leads, queries, QUERIES_AT_ONCE));
    while let Some(page) = pages.next().await {
        for (email, row, written) in page?.iter().filter_map(row) {
            if addresses.contains(email.as_str()) {
                rows.entry(email).or_default().push((row, written));
            }
        }
    }
    Ok(rows)
}

fn row(entity: &Entity) -> Option<(String, Row, Option<Timestamp>)> {
    let stored = StoredLead::from_entity(entity).ok()?;
    let offers = [stored.lead.offer_title.trim().to_lowercase(), stored.lead.source().offer.to_lowercase()];
    let day = stored.time().map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).date());
    let row = Row { keys: entity.keys(), offers, day };
    Some((stored.lead.normalized_email(), row, stored.timestamp))
}

fn is_same(lead: &Listed, row: &Row) -> bool {
    let same_offer = lead.offer.is_empty()
        || row.offers.iter().all(String::is_empty)
        || row.offers.contains(&lead.offer)
        // Exports name the offer's id with or without its publisher.
        || row.offers.iter().any(|offer| offer.split_once('.').is_some_and(|(_, id)| id == lead.offer));
    let same_day = match (lead.day, row.day) {
        (Some(a), Some(b)) => (-1..=1).any(|by: i64| a.saturating_add(by.days()) == b),
        _ => true,
    };
    same_offer && same_day
}

fn start(day: Date) -> Timestamp {
    day.to_zoned(jiff::tz::TimeZone::UTC).map(|start| start.timestamp()).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Listed {
    /// `line 7: Ada Doe, ada@contoso.example, Contoso Backup, 2026-11-03`
    fn describe(&self) -> String {
        let day = self.day.map(|day| day.to_string()).unwrap_or_default();
        let parts = [&self.name, &self.email, &self.offer, &day].map(|part| crate::display::line(part));
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("line {}: {}", self.line, parts.join(", "))
    }
}
