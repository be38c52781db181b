//! The checks `table` and `round-trip`.

use super::findings::Findings;
use super::storage::{Account, describe};
use super::test_lead::{TestLeads, test_row};
use crate::lead::StoredLead;
use crate::lead::days;
use crate::notify::window_query;
use crate::settings::ValidationSettings;
use crate::table::azure::AzureTable;
use crate::table::{Keys, Query, Table, TableError, pages};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use std::pin::pin;
use std::time::Duration;

/// Clocks that are kept right differ by less.
const NOTABLE_OFFSET: SignedDuration = SignedDuration::from_mins(1);

/// The most partitions that are read side by side.
const QUERIES_AT_ONCE: usize = 8;

/// From here on Azure may refuse requests, and windows miss rows.
const WRONG_OFFSET: SignedDuration = SignedDuration::from_mins(10);

/// Both tables of an account, seen to exist but for the state table, which the notifier creates.
pub(super) struct Tables {
    pub(super) account: Account,
    pub(super) leads: AzureTable,
    pub(super) state: AzureTable,
}

pub(super) async fn check(account: Account, create: bool, settings: &ValidationSettings) -> (Findings, Option<Tables>) {
    let mut findings = Findings::default();
    let (leads, state) = (account.tables.table(&account.leads_table), account.tables.table(&account.state_table));
    let mut are_there = true;
    for (table, name, variable) in
        [(&leads, &account.leads_table, "LEADS_TABLE"), (&state, &account.state_table, "LEADS_STATE_TABLE")]
    {
        let mut found = exists(table).await;
        if create && found == Err(TableError::TableNotFound) {
            found = match table.create().await {
                Ok(()) | Err(TableError::Exists) => {
                    findings.saw(format!("{name} created"));
                    continue;
                }
                Err(error) => Err(error),
            };
        }
        match found {
            Ok(()) => findings.saw(format!("{name} exists")),
            Err(TableError::TableNotFound) if variable == "LEADS_STATE_TABLE" => findings.warn(
                format!("{name} does not exist: the notifier's first run creates it, until then intake keeps no unreadable body"),
                "run this with {\"create\":true}",
            ),
            Err(TableError::TableNotFound) => {
                are_there = false;
                findings.fail(
                    format!("{name} does not exist"),
                    format!("run this with {{\"create\":true}}, or correct {variable}"),
                );
            }
            Err(error) => {
                are_there = false;
                findings.fault(account.explain(&error).of(name));
            }
        }
    }
    clock(&mut findings, account.tables.clock_offset(), settings.schedule.overlap);
    let tables = Tables { account, leads, state };
    (findings, are_there.then_some(tables))
}

async fn exists(table: &AzureTable) -> Result<(), TableError> {
    let query = Query { page_size: Some(1), select: vec!["PartitionKey"], ..Query::default() };
    table.page(&query, None).await.map(drop)
}

fn clock(findings: &mut Findings, offset: Option<SignedDuration>, overlap: Option<Duration>) {
    let Some(offset) = offset else {
        findings.warn(
            "the service does not tell its time, so the clocks were not compared",
            "see what stands between the function and the account: Azure's answers have the header Date",
        );
        return;
    };
    let overlap = overlap.and_then(|overlap| SignedDuration::try_from(overlap).ok()).unwrap_or(SignedDuration::MAX);
    let cure = "set the clock right where this runs; on AWS Lambda, report it to AWS Support";
    if offset.abs() >= WRONG_OFFSET.min(overlap) {
        findings
            .fail(format!("the service's clock is {} ours, more than the functions allow for", describe(offset)), cure);
    } else if offset.abs() >= NOTABLE_OFFSET {
        findings.warn(format!("the service's clock is {} ours", describe(offset)), cure);
    } else {
        findings.saw("the clocks agree");
    }
}

pub(super) async fn round_trip(
    tables: &Tables,
    test_leads: &TestLeads,
    leave: bool,
    settings: &ValidationSettings,
    now: Timestamp,
) -> (Findings, Option<()>) {
    let mut findings = Findings::default();
    let row = test_row(now);
    let explain = |error: &TableError, doing: &str| tables.account.explain(error).of(doing);
    test_leads.note(row.keys.clone());
    if let Err(error) = tables.leads.insert(&row.to_entity()).await {
        findings.fault(explain(&error, "the test lead could not be written"));
        // It may have been written although the answer was lost, or be written yet.
        let may_be_written = error.is_transient() || error == TableError::Exists;
        if !may_be_written || delete(tables, &row.keys).await == Ok(true) {
            test_leads.strike(&row.keys);
        }
        return (findings, None);
    }
    let read = tables.leads.get(&row.keys).await;
    match read.as_ref().map(StoredLead::from_entity) {
        Ok(Ok(back)) if (StoredLead { timestamp: None, ..back.clone() }) == row => {
            findings.saw("a test lead written, read, and the same in every field");
        }
        Ok(_) => findings.fail(
            "the test lead came back otherwise than it was written",
            "see what else writes to the table: something changes rows",
        ),
        Err(error) => {
            findings.fault(explain(error, "the test lead could not be read"));
        }
    }
    match is_found(tables, &row, settings, now).await {
        Ok(true) => findings.saw("the notifier's query finds it"),
        Ok(false) => findings.fail(
            "the notifier's query does not find it",
            "set LEADS_OVERLAP_MINUTES higher than the clocks differ: see `table`",
        ),
        Err(error) => {
            findings.fault(explain(&error, "the notifier's query failed"));
        }
    }
    if leave {
        findings.saw(format!("left in {}", row.keys));
        test_leads.strike(&row.keys);
    } else {
        match delete(tables, &row.keys).await {
            Ok(_) => {
                findings.saw("deleted");
                test_leads.strike(&row.keys);
            }
            Err(error) => findings.fault(explain(&error, "the test lead could not be deleted; no mail ever holds it")),
        }
    }
    (findings, None)
}

/// Deletes a test lead, and says whether it was there.
pub(super) async fn delete(tables: &Tables, keys: &Keys) -> Result<bool, TableError> {
    match tables.leads.delete(keys).await {
        Err(TableError::NotFound) => Ok(false),
        done => done.map(|()| true),
    }
}

/// Whether the notifier, had it run until now, would find a row that was written just now.
async fn is_found(
    tables: &Tables,
    row: &StoredLead,
    settings: &ValidationSettings,
    now: Timestamp,
) -> Result<bool, TableError> {
    let overlap = settings.schedule.clone().or_defaults().overlap;
    let from = now - overlap;
    let queries = days(from, now).iter().map(|day| window_query(&day.partition_key(), from)).collect();
    let mut pages = pin!(pages(&tables.leads, queries, QUERIES_AT_ONCE));
    while let Some(page) = pages.next().await {
        if page?.iter().any(|found| found.keys() == row.keys) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::{CheckId, Status};

    #[test]
    fn clocks_that_nobody_could_compare_do_not_agree() {
        let minutes = |minutes| Some(SignedDuration::from_mins(minutes));
        for (offset, expected) in [
            (minutes(0), Status::Ok),
            (minutes(-2), Status::Warning),
            (minutes(12), Status::Failed),
            (None, Status::Warning),
        ] {
            let mut findings = Findings::default();
            clock(&mut findings, offset, None);
            assert_eq!(findings.into_check(CheckId::Table, Duration::ZERO).status, expected, "{offset:?}");
        }
    }
}
