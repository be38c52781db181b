//! Which partitions a run reads: the days whose rows can have been written lately.

use crate::lead::Day;
use jiff::{SignedDuration, Timestamp};

/// How far the day of a row may lie behind the time at which it was written: the time zone of Microsoft's day is unknown.
const BEHIND: SignedDuration = SignedDuration::from_hours(12);

/// How far it may lie ahead.
const AHEAD: SignedDuration = SignedDuration::from_hours(14);

/// The days whose partitions are read for the rows written from `from` on, oldest first.
///
/// A row of day X that was written at a time t is read if X is not before the day of t - 12 h: so if t is before the
/// beginning of X + 36 h. What was written later under that day is the patrol's, from [`patrolled_from`] on.
pub(crate) fn window_days(from: Timestamp, now: Timestamp) -> Vec<Day> {
    let last = last_day(now);
    let mut days = vec![Day::of(from.saturating_sub(BEHIND).unwrap_or(Timestamp::MIN)).min(last)];
    while let Some(day) = days.last().filter(|day| **day < last) {
        days.push(day.after());
    }
    days
}

/// The latest day that is read.
pub(crate) fn last_day(now: Timestamp) -> Day {
    Day::of(now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX))
}

/// From when on the rows of a day are the patrol's.
pub(crate) fn patrolled_from(day: Day) -> Timestamp {
    let beyond = SignedDuration::from_hours(24) + BEHIND;
    day.start().saturating_add(beyond).unwrap_or(Timestamp::MAX)
}

/// Whether a day came into the window of now after a time: its rows that were written before it came are read then,
/// because nobody else reads them any more. Before that, they were the patrol's.
pub(crate) fn is_new(day: Day, from: Timestamp, now: Timestamp) -> bool {
    day <= last_day(now) && from <= day.start().saturating_sub(AHEAD).unwrap_or(Timestamp::MIN)
}
