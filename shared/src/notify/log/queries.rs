//! The queries of the log's partition: each is a range of keys.

use super::moving;
use super::rows::{self, ChannelId, LogRow, PARTITION};
use crate::mail::Counts;
use crate::table::{Continuation, Entity, Query, Table, TableError};
use jiff::civil::Date;
use std::collections::BTreeMap;

/// A page of the log from a key on, in order. A page can be empty and still not be the last one.
pub(crate) async fn page<T: Table>(
    table: &T,
    from: &str,
    rows: u32,
    next: Option<&Continuation>,
) -> Result<(Vec<LogRow>, Option<Continuation>), TableError> {
    let query = Query { row_key_from: Some(from.max(rows::LOG).to_owned()), page_size: Some(rows), ..log_rows() };
    let page = table.page(&query, next).await?;
    Ok((page.entities.iter().filter_map(LogRow::from_entity).collect(), page.next))
}

/// The first rows that a query finds, however many empty pages come before them.
pub(crate) async fn page_of<T: Table>(table: &T, query: &Query) -> Result<Vec<Entity>, TableError> {
    let mut next = None;
    loop {
        let page = table.page(query, next.as_ref()).await?;
        next = page.next;
        if !page.entities.is_empty() || next.is_none() {
            return Ok(page.entities);
        }
    }
}

/// The query for all rows of the log.
fn log_rows() -> Query {
    rows_with_prefix(rows::LOG)
}

/// The keys of the rows of the log before a key.
pub(crate) fn log_before(key: &str) -> Query {
    Query { row_key_before: Some(key.to_owned()), ..log_rows() }
}

/// The query for what was given up.
pub(crate) fn parked_rows() -> Query {
    rows_with_prefix(rows::PARKED)
}

/// The query for what one channel gave up.
pub(crate) fn parked_rows_of(channel: &ChannelId) -> Query {
    rows_with_prefix(&format!("{}{channel}-", rows::PARKED))
}

/// The rows that the version before this one wrote for digests.
pub(crate) fn previous_digests() -> Query {
    rows_with_prefix(moving::DIGEST)
}

/// The rows of the days before a day.
pub(crate) fn days_before(day: Date) -> Query {
    Query { row_key_before: Some(rows::day_key(day)), ..rows_with_prefix(rows::DAY) }
}

/// The days that rows hold, with what each of them brought.
pub(crate) fn days(found: &[Entity]) -> BTreeMap<Date, Counts> {
    found.iter().filter_map(rows::day_of).collect()
}

pub(crate) fn rows_with_prefix(prefix: &str) -> Query {
    // The prefixes end with '-'; '.' is the character after it.
    let end = format!("{}.", prefix.trim_end_matches('-'));
    Query { row_key_from: Some(prefix.to_owned()), row_key_before: Some(end), ..Query::partition(PARTITION) }
}
