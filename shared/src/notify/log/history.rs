//! What runs did: one row a run that did something, and one an hour for those that found nothing to do.

use super::rows::PARTITION;
use super::rows_with_prefix;
use crate::notify::delays::Delays;
use crate::table::{Entity, Operation, Query, Table, TableError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const RUN: &str = "run-";

/// What one run did. Times are UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct RunRecord {
    /// The run's id.
    pub run: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Leads found, those that could not be read included.
    pub leads: usize,
    /// Those of them that our intake stored.
    pub leads_by_https: usize,
    /// Quarantined bodies found.
    pub quarantined: usize,
    /// Leads in the digests sent; a lead that goes to two routes counts twice.
    pub mailed: usize,
    /// Digests sent.
    pub digests: usize,
    /// Mails that SES accepted.
    pub mails: usize,
    /// How many of the leads mailed took how many seconds from their row in the table to the accepted mail, those left out that
    /// waited for their route's cadence or window.
    #[serde(skip_serializing_if = "Delays::is_empty", default)]
    pub delays: Delays,
    /// Leads that are still owed to somebody; a lead that is owed to two routes counts twice.
    #[serde(default)]
    pub owed: usize,
    /// When the oldest of them was recorded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest_owed: Option<Timestamp>,
    /// Since when the longest overdue channel was to send.
    #[serde(skip)]
    pub overdue_since: Option<Timestamp>,
    /// Leads given up in this run, because the mail service refused even their keys.
    #[serde(default)]
    pub parked: usize,
    /// Partitions that the patrol went through.
    #[serde(default)]
    pub patrolled: usize,
    /// When the last patrol over the whole table ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_full_patrol: Option<Timestamp>,
    /// The same; while none has ended, when the first one began.
    #[serde(skip)]
    pub patrolled_since: Option<Timestamp>,
    /// Requests made to the table service until the record was written.
    pub requests: u64,
    /// How many runs this record sums up, where none of them had anything to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idle_runs: Option<u64>,
    /// What went wrong, if anything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything new was sent, as far as its destination is to be tried now.
    Complete,
    /// There was nothing to do, and nothing was written.
    Idle,
    /// Time ran out; the next run goes on.
    Stopped,
    /// Something failed; the next run tries it again.
    Failed,
    /// The notifier is paused.
    Paused,
    /// Another run was at work.
    Busy,
}

impl RunRecord {
    /// A run that has done nothing yet.
    pub(crate) fn new(run: &str, started: Timestamp) -> Self {
        Self {
            run: run.to_owned(),
            started,
            duration_ms: 0,
            outcome: Outcome::Complete,
            leads: 0,
            leads_by_https: 0,
            quarantined: 0,
            mailed: 0,
            digests: 0,
            mails: 0,
            delays: Delays::default(),
            owed: 0,
            oldest_owed: None,
            overdue_since: None,
            parked: 0,
            patrolled: 0,
            last_full_patrol: None,
            patrolled_since: None,
            requests: 0,
            idle_runs: None,
            error: None,
        }
    }
}

/// The write that records a run. Its key sorts the newest run first.
pub(crate) fn run_operation(run: &RunRecord) -> Operation {
    let mut row = Entity::new(PARTITION, format!("{}-{}", key_of(run.started), run.run)).with("Started", run.started);
    row.set_text("Run", &serde_json::json!(run).to_string());
    Operation::InsertOrReplace(row)
}

fn key_of(started: Timestamp) -> String {
    const FAR: i64 = 9_999_999_999_999;
    format!("{RUN}{:013}", FAR - started.as_millisecond())
}

/// The query for the runs before a time.
pub(crate) fn run_key_before(time: Timestamp) -> Query {
    Query { row_key_from: Some(key_of(time)), ..rows_with_prefix(RUN) }
}

/// The last runs, newest first.
///
/// # Errors
/// Where the table cannot be read.
pub async fn runs<T: Table>(table: &T, count: usize) -> Result<Vec<RunRecord>, TableError> {
    let page_size = u32::try_from(count.clamp(1, 1000)).unwrap_or(1000);
    let query = Query { page_size: Some(page_size), ..rows_with_prefix(RUN) };
    let mut runs = Vec::new();
    let mut next = None;
    while runs.len() < count {
        let page = table.page(&query, next.as_ref()).await?;
        let texts = page.entities.iter().filter_map(|row| row.text("Run"));
        runs.extend(texts.filter_map(|text| serde_json::from_str::<RunRecord>(&text).ok()));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    runs.truncate(count);
    Ok(runs)
}
