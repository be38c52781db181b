//! The check `reconcile`: Partner Center's own list of leads against the table and the digests.
//!
//! A lead of the list is in the table where a row has the same address (normalised), an offer that is the same by title or
//! id, an action that is the same, and a day that is at most one off (the list's time zone is unknown). What either side
//! does not say counts as the same. A lead without an address is compared by the names of its company and person. One row
//! stands for one lead of the list, not for several.

mod dates;
mod headings;
mod list;
mod pairs;
#[cfg(test)]
mod tests;

use super::findings::{Fault, Findings, count};
use super::request::{Leads, Reconciliation};
use super::table::Tables;
use crate::lead::{DateOrder, Day, StoredLead};
use crate::notify::{NotifyError, Recorded, Status, recorded_since, status};
use crate::table::{Keys, Query, pages};
use dates::Order;
use futures::StreamExt as _;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use list::{List, Listed, shown};
use pairs::{Agreement, Fit, Row, Rows};
use std::collections::{BTreeSet, HashMap};
use std::pin::pin;

/// The most partitions that are read side by side.
const QUERIES_AT_ONCE: usize = 8;

/// So many leads of each kind are named; an answer of Lambda holds 6 MB.
const MOST_NAMED: usize = 1_000;

/// So many lines are named within a sentence.
const MOST_LINES: usize = 10;

pub(super) async fn check(asked: &Reconciliation, tables: &Tables, now: Timestamp) -> (Findings, Option<()>) {
    let mut findings = Findings::default();
    match find(&mut findings, asked, tables, now).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => findings.fault(fault),
        Err(NotifyError::Table(error)) => findings.fault(tables.account.explain(&error)),
        Err(error) => findings.fail(error.to_string(), "see `notifier`"),
    }
    (findings, None)
}

async fn find(
    findings: &mut Findings,
    asked: &Reconciliation,
    tables: &Tables,
    now: Timestamp,
) -> Result<Result<(), Fault>, NotifyError> {
    let text = match &asked.leads {
        Leads::Csv(text) => Ok(text.clone()),
        Leads::S3(url) => list::download(url.clone()).await,
    };
    let list = match text.and_then(|text| list::read(&text, asked.order, now)) {
        Ok(list) => list,
        Err(fault) => return Ok(Err(fault)),
    };
    if list.leads.is_empty() {
        findings.warn("the file has no leads", "give the file as Partner Center exported it, with its first line");
        return Ok(Ok(()));
    }
    say_dates(findings, &list);
    let compared = compare(findings, &list, tables, now).await?;
    report(findings, &list, &compared, now);
    if asked.explain {
        explain(findings, &list, &compared);
    }
    Ok(Ok(()))
}

impl Leads {
    /// How many leads a file of Partner Center's has.
    ///
    /// # Errors
    /// Where it is none; the error says why and what to do, and holds nothing of it.
    pub fn count(csv: &str) -> Result<usize, String> {
        let list = list::read(csv, None, Timestamp::UNIX_EPOCH);
        list.map(|list| list.leads.len()).map_err(|Fault { seen, cure }| format!("{seen}: {cure}"))
    }
}

/// Says how the dates of the list were read, where that is not beyond doubt.
fn say_dates(findings: &mut Findings, list: &List) {
    let settle = "say which number comes first, as in \"reconcile\":{\"dates\":\"day-first\"} or \"month-first\"";
    match list.order {
        Order::Plain | Order::Known(DateOrder::MonthFirst) => {}
        Order::Known(DateOrder::DayFirst) => findings.saw("the file's dates have the day first"),
        Order::Ambiguous => findings.warn(
            "the file's dates can be read with the month or the day first; they were read with the month first, as \
             Partner Center writes them",
            settle,
        ),
        Order::Mixed => findings.warn(
            "some of the file's dates have the day first and some the month; those that could have both were not read",
            settle,
        ),
    }
    if !list.unreadable_dates.is_empty() {
        findings.warn(
            format!("dates that cannot be read: {} ({})", list.unreadable_dates.len(), lines(&list.unreadable_dates)),
            "write these dates like 2026-11-03",
        );
    }
}

/// `lines 3, 7, 9 and more`
fn lines(numbers: &[u64]) -> String {
    let named: Vec<_> = numbers.iter().take(MOST_LINES).map(u64::to_string).collect();
    let more = if numbers.len() > MOST_LINES { " and more" } else { "" };
    format!("line{} {}{more}", if numbers.len() == 1 { "" } else { "s" }, named.join(", "))
}

/// What became of a lead of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Mailed,
    Dropped,
    /// The next run mails it, or it is owed to somebody.
    Waiting,
    Unmailed,
    Missing,
    /// It is not among the rows that were read, and it cannot be said that it is missing.
    Unknown,
}

/// A list and the table.
struct Compared {
    rows: Rows,
    pairs: Vec<Option<usize>>,
    outcomes: Vec<Outcome>,
}

async fn compare(
    findings: &mut Findings,
    list: &List,
    tables: &Tables,
    now: Timestamp,
) -> Result<Compared, NotifyError> {
    let notifier = status(&tables.state, now).await?.unwrap_or_default();
    let days = days(&list.leads);
    let is_whole = match (notifier.extra_partitions > 0, days.is_empty()) {
        (true, _) => {
            findings.saw("the whole table was read, since leads come under keys that are no days");
            true
        }
        (false, true) => {
            findings.saw("the whole table was read, since no date of the file can be read");
            true
        }
        (false, false) => false,
    };
    let mut rows = rows(findings, list, tables, (!is_whole).then_some(&days)).await?;
    let since = days.first().map_or(Timestamp::UNIX_EPOCH, |day| start(*day));
    let recorded = recorded_since(&tables.state, since, now).await?;
    let outcome_of = |row: &Row| outcome(row, &recorded, &notifier);
    rows.prefer(|row| outcome_of(row) as usize);
    let pairs = rows.pair(&list.leads);
    let outcomes = list.leads.iter().zip(&pairs).map(|(lead, row)| match row {
        Some(row) => outcome_of(rows.row(*row)),
        None if is_comparable(lead) && (lead.day.is_some() || is_whole) => Outcome::Missing,
        None => Outcome::Unknown,
    });
    let outcomes = outcomes.collect();
    Ok(Compared { rows, pairs, outcomes })
}

/// Whether it can be said of a lead that it is missing: its customer is known. A person's name alone is not enough.
fn is_comparable(lead: &Listed) -> bool {
    !lead.address.is_empty() || !lead.customer.is_empty()
}

fn outcome(row: &Row, recorded: &HashMap<Keys, Recorded>, notifier: &Status) -> Outcome {
    let is_new = |watermark| row.written.is_none_or(|written| written > watermark);
    match recorded.get(&row.keys) {
        Some(Recorded::Sent) => Outcome::Mailed,
        Some(Recorded::Dropped) => Outcome::Dropped,
        Some(Recorded::Owed) => Outcome::Waiting,
        _ if notifier.watermark.is_none_or(is_new) => Outcome::Waiting,
        _ => Outcome::Unmailed,
    }
}

fn report(findings: &mut Findings, list: &List, compared: &Compared, now: Timestamp) {
    let of = |outcome: Outcome| -> Vec<usize> {
        (0..list.leads.len()).filter(|at| compared.outcomes[*at] == outcome).collect()
    };
    let (missing, unmailed, unknown) = (of(Outcome::Missing), of(Outcome::Unmailed), of(Outcome::Unknown));
    let comparable = list.leads.len() - unknown.len();
    findings.saw(format!("in the table: {} of {}", comparable - missing.len(), count(comparable, "lead")));
    if !list.has_addresses {
        findings.saw("compared by the customers' names, since the file has no addresses");
    }
    let name = |findings: &mut Findings, title: &str, leads: &[usize]| {
        findings.details.push(title.to_owned());
        findings.details.extend(leads.iter().take(MOST_NAMED).map(|at| list.leads[*at].describe()));
    };
    if !missing.is_empty() {
        findings.fail(
            format!("missing: {}", missing.len()),
            "enter these leads by hand: Microsoft sends none again. See in Partner Center which destination it had on their days",
        );
        let is_repeat = |at: &&usize| compared.rows.fits(&list.leads[**at]).iter().any(Fit::may_be_same);
        let repeats = missing.iter().filter(is_repeat).count();
        if repeats > 0 {
            findings.saw(format!("of these, like a lead that has the only row: {repeats}"));
        }
        name(findings, "missing from the table:", &missing);
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
        name(findings, "never mailed:", &unmailed);
    }
    if !unknown.is_empty() {
        let numbers: Vec<_> = unknown.iter().map(|at| list.leads[*at].line).collect();
        findings.warn(
            format!("without an address or a date, and not found: {} ({})", unknown.len(), lines(&numbers)),
            "look for these leads by hand, or give the file with their addresses and dates",
        );
    }
    for (outcome, what) in
        [(Outcome::Waiting, "waiting for the next run"), (Outcome::Dropped, "kept out of the mails by the settings")]
    {
        let number = of(outcome).len();
        if number > 0 {
            findings.saw(format!("{what}: {number}"));
        }
    }
    if missing.len().max(unmailed.len()) > MOST_NAMED {
        findings.saw(format!("the first {MOST_NAMED} are named"));
    }
}

/// Says for each lead which row stands for it and how they agree, or why none does. Names nobody.
fn explain(findings: &mut Findings, list: &List, compared: &Compared) {
    findings.details.push("how each lead was compared:".to_owned());
    for (at, lead) in list.leads.iter().enumerate().take(MOST_NAMED) {
        let by = if lead.address.is_empty() { "name" } else { "address" };
        let line = match compared.pairs[at] {
            Some(place) => {
                let (row, fit) = (compared.rows.row(place), compared.rows.fit(lead, place));
                let keys = format!("{} {}", shown(&row.keys.partition), shown(&row.keys.row));
                let outcome = match compared.outcomes[at] {
                    Outcome::Mailed => "mailed",
                    Outcome::Dropped => "kept out of the mails",
                    Outcome::Waiting => "waiting for the next run",
                    Outcome::Unmailed | Outcome::Missing | Outcome::Unknown => "never mailed",
                };
                format!("row {keys}: same {by}, {}; {outcome}", fit.words())
            }
            None => format!("no row; {}", why_none(&compared.rows.fits(lead), by)),
        };
        findings.details.push(format!("line {}: {line}", lead.line));
    }
    if list.leads.len() > MOST_NAMED {
        findings.details.push(format!("the first {MOST_NAMED} are explained"));
    }
}

/// Why none of the rows of a lead's customer stands for it.
fn why_none(fits: &[Fit], by: &str) -> String {
    let different = |part: fn(&Fit) -> Agreement| fits.iter().filter(|fit| part(fit) == Agreement::Different).count();
    let reasons = [
        (different(|fit| fit.offer), "of another offer"),
        (different(|fit| fit.day), "of another day"),
        (different(|fit| fit.action), "of another action"),
        (fits.iter().filter(|fit| fit.may_be_same()).count(), "of another line"),
    ];
    let reasons: Vec<_> = reasons.iter().filter(|(number, _)| *number > 0).collect();
    let reasons: Vec<_> = reasons.iter().map(|(number, what)| format!("{} {what}", count(*number, "row"))).collect();
    if reasons.is_empty() { format!("none has this {by}") } else { format!("same {by}: {}", reasons.join(", ")) }
}

/// The days whose partitions can hold rows of the list.
fn days(leads: &[Listed]) -> BTreeSet<Date> {
    let days = leads.iter().filter_map(|lead| lead.day);
    days.flat_map(|day| (-2..=2).map(move |by: i64| day.saturating_add(by.days()))).collect()
}

/// The rows that leads of the list can be: those of these days, or of the whole table. Whole rows are read, since a long
/// text goes on in columns whose number nobody knows.
async fn rows(
    findings: &mut Findings,
    list: &List,
    tables: &Tables,
    days: Option<&BTreeSet<Date>>,
) -> Result<Rows, NotifyError> {
    let queries = match days {
        None => vec![Query::default()],
        Some(days) => days.iter().map(|day| Query::partition(Day::of(start(*day)).partition_key())).collect(),
    };
    let mut rows = Rows::of(list);
    let mut unreadable = 0;
    let mut pages = pin!(pages(&tables.leads, queries, QUERIES_AT_ONCE));
    while let Some(page) = pages.next().await {
        for entity in page? {
            match StoredLead::from_entity(&entity) {
                Ok(stored) => rows.add(&stored),
                Err(_) => unreadable += 1,
            }
        }
    }
    if unreadable > 0 {
        findings.saw(format!("rows that cannot be read, and may be leads of the list: {unreadable}"));
    }
    if rows.are_more {
        findings.warn(
            "the table has more rows of these customers than are compared",
            "give the file in parts, each with the first line",
        );
    }
    Ok(rows)
}

fn start(day: Date) -> Timestamp {
    day.to_zoned(jiff::tz::TimeZone::UTC).map(|start| start.timestamp()).unwrap_or(Timestamp::UNIX_EPOCH)
}
