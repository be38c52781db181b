//! Storing a lead once, however often it is sent.

use super::day::Day;
use super::row::{StoredLead, column};
use crate::table::{Keys, Table, TableError};
use jiff::{SignedDuration, Timestamp};

/// How long after a lead the same lead counts as a retry, where the UTC day has changed in between.
pub const RETRY_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// What [`store`] did with a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It wrote the lead's row.
    New,
    /// It found the lead's row, and wrote nothing.
    Before,
}

/// Writes a lead's row, unless the table has it already. Within a day the insert itself decides: where the same lead
/// arrives twice at the same time, one insert fails. Across midnight, a row with the same key under the neighbouring day
/// is the same lead if the two were received within [`RETRY_WINDOW`].
///
/// The day after is asked only for a lead that comes from the queue, when `now` is later than its day: a retry of the
/// sender may have been stored before it.
pub(crate) async fn store<T: Table>(leads: &T, lead: &StoredLead, now: Timestamp) -> Result<Stored, TableError> {
    let received = lead.received.unwrap_or(now);
    let day = Day::of(received);
    let before = Some(day.before()).filter(|_| received.duration_since(day.start()) < RETRY_WINDOW);
    let after =
        Some(day.after()).filter(|after| after.start().duration_since(received) <= RETRY_WINDOW && Day::of(now) > day);
    for neighbour in before.into_iter().chain(after) {
        match leads.get(&Keys::new(neighbour.partition_key(), &lead.keys.row)).await {
            Ok(row) => {
                let other = row.time(column::RECEIVED_TIME);
                if other.is_some_and(|other| received.duration_since(other).abs() <= RETRY_WINDOW) {
                    return Ok(Stored::Before);
                }
            }
            Err(TableError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    match leads.insert(&lead.to_entity()).await {
        Ok(()) => Ok(Stored::New),
        Err(TableError::Exists) => Ok(Stored::Before),
        Err(error) => Err(error),
    }
}
