//! Reads many pages side by side, and gives them in the order of the file.

use super::BrokenOff;
use super::range::{Found, Work};
use crate::table::{Entity, MAX_PAGE_ROWS, Table, TableError, Value};
use compact_str::CompactString;
use std::collections::VecDeque;
use tokio::task::{Id, JoinError, JoinSet};

/// How many pages of rows are asked for at the same time.
pub(super) const MOST_PAGES: usize = 12;

/// How much memory pages may take, those included that are still on their way. The page whose turn it is is read
/// whatever the others take.
const MOST_BYTES: usize = 24 << 20;

/// How large a page should be, as JSON.
const PAGE_BYTES: usize = 1 << 20;

/// The largest answer that is read where it has several rows, in bytes. Above it the client asks for fewer.
pub const MAX_PAGE_BYTES: usize = 2 << 20;

/// How many partitions that were found may wait before the hops pause that found them. Each is little more than its key.
const PARTITIONS_AHEAD: usize = 1024;

/// What a row takes in memory beyond its texts, about.
const ROW_OVERHEAD: usize = 1024;

/// Reads what is to be read, side by side.
pub(super) struct Reader<T> {
    table: T,
    /// In the order of the file.
    steps: VecDeque<Step>,
    requests: JoinSet<Result<Found, TableError>>,
    /// How large a row is as JSON, about; `None` before the first one was read.
    row_bytes: Option<usize>,
}

enum Step {
    Waiting(Work),
    /// The task that does it, and how much memory its answer may take.
    Running(Id, usize),
    /// The rows, and how much memory they take.
    Read(Vec<Entity>, usize),
    Failed(BrokenOff),
}

impl<T: Table> Reader<T> {
    pub(super) fn new(table: T, work: Vec<Work>) -> Self {
        let steps = work.into_iter().map(Step::Waiting).collect();
        Self { table, steps, requests: JoinSet::new(), row_bytes: None }
    }

    /// The next page with rows; `None` after the last. An error comes in its place: all that is before it was given.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Entity>>, BrokenOff> {
        loop {
            while let Some(ended) = self.requests.try_join_next_with_id() {
                self.ended(ended);
            }
            self.start();
            match self.steps.pop_front() {
                None => return Ok(None),
                Some(Step::Read(rows, _)) if rows.is_empty() => {}
                Some(Step::Read(rows, _)) => {
                    // What has room now is read while these rows are written.
                    self.start();
                    return Ok(Some(rows));
                }
                Some(Step::Failed(error)) => return Err(error),
                Some(running) => {
                    self.steps.push_front(running);
                    let ended = self.requests.join_next_with_id().await.ok_or(BrokenOff::Reader)?;
                    self.ended(ended);
                }
            }
        }
    }

    /// Starts what may be done now. The first step always may, so that no others can hold it up.
    fn start(&mut self) {
        let (most_rows, page) = self.page_size();
        let (mut pages, mut bytes) = (0, 0);
        for step in &self.steps {
            match step {
                Step::Running(_, running) => {
                    pages += usize::from(*running > 0);
                    bytes += running;
                }
                Step::Read(_, read) => bytes += read,
                Step::Waiting(_) | Step::Failed(_) => {}
            }
        }
        let mut partitions_waiting = 0;
        let mut most_bytes = MOST_BYTES;
        for (position, step) in self.steps.iter_mut().enumerate() {
            if matches!(step, Step::Waiting(Work::Hop(_)) | Step::Running(_, 0)) {
                // What this hop will find comes before all that is behind it, and needs room then.
                most_bytes = MOST_BYTES / 2;
            }
            let Step::Waiting(work) = step else { continue };
            let has_room = match work {
                Work::Hop(_) => partitions_waiting < PARTITIONS_AHEAD,
                Work::Rows(_) => partitions_waiting == 0 && pages < MOST_PAGES && bytes + page <= most_bytes,
            };
            if !has_room && position > 0 {
                partitions_waiting += usize::from(matches!(work, Work::Rows(_)));
                continue;
            }
            let (table, work) = (self.table.clone(), work.clone());
            let (pages_more, cost) = if matches!(work, Work::Rows(_)) { (1, page) } else { (0, 0) };
            pages += pages_more;
            bytes += cost;
            let task = self.requests.spawn(async move {
                match work {
                    Work::Hop(hop) => hop.run(&table).await,
                    Work::Rows(range) => range.run(&table, most_rows).await,
                }
            });
            *step = Step::Running(task.id(), cost);
        }
    }

    /// How many rows a page is asked for, and how much memory it may take while it is read.
    fn page_size(&self) -> (u32, usize) {
        let Some(row) = self.row_bytes else { return (MAX_PAGE_ROWS, 2 * MAX_PAGE_BYTES) };
        let rows = (PAGE_BYTES / row.max(1)).clamp(1, MAX_PAGE_ROWS as usize);
        // While an answer comes, its buffer may be twice as large as what is in it.
        (u32::try_from(rows).unwrap_or(MAX_PAGE_ROWS), rows * (2 * row).max(row + ROW_OVERHEAD))
    }

    /// Puts what a task found in its place.
    fn ended(&mut self, ended: Result<(Id, Result<Found, TableError>), JoinError>) {
        let (id, found) = match ended {
            Ok((id, found)) => (id, found.map_err(BrokenOff::from)),
            Err(error) => (error.id(), Err(BrokenOff::Reader)),
        };
        let is_its = |step: &Step| matches!(step, Step::Running(running, _) if *running == id);
        let Some(position) = self.steps.iter().position(is_its) else { return };
        self.steps[position] = match found {
            Ok(Found { rows, rest }) => {
                for (behind, work) in rest.into_iter().enumerate() {
                    self.steps.insert(position + 1 + behind, Step::Waiting(work));
                }
                let bytes = rows.iter().map(json_bytes).sum::<usize>();
                if let Some(row) = bytes.checked_div(rows.len()) {
                    // Larger rows count at once, smaller ones little by little.
                    self.row_bytes = Some(self.row_bytes.map_or(row, |before| row.max((7 * before + row) / 8)));
                }
                let held = bytes + rows.len() * ROW_OVERHEAD;
                Step::Read(rows, held)
            }
            Err(error) => Step::Failed(error),
        };
    }
}

/// How many bytes a row takes as JSON, about.
fn json_bytes(row: &Entity) -> usize {
    let column = |(name, value): (&CompactString, &Value)| {
        let value = match value {
            Value::String(text) | Value::DateTime(text) | Value::Guid(text) => text.len(),
            Value::Binary(bytes) => bytes.len() * 4 / 3,
            Value::Bool(_) | Value::Int32(_) | Value::Int64(_) | Value::Double(_) => 8,
        };
        name.len() + value + 40
    };
    200 + row.partition_key.len() + row.row_key.len() + row.properties.iter().map(column).sum::<usize>()
}
