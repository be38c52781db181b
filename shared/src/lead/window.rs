//! Windows of time, and the partitions that can hold their rows.

use super::day::Day;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The days whose partitions can hold rows of a time: one more on either side, since the time zone of Microsoft's day is
/// unknown.
pub(crate) fn days(from: Timestamp, until: Timestamp) -> Vec<Day> {
    let last = Day::of(until).after();
    let mut days = vec![Day::of(from).before()];
    while let Some(day) = days.last().filter(|day| **day < last) {
        days.push(day.after());
    }
    days
}

/// Reads a time (`2026-11-03T14:00:00Z`), or a day (`2026-11-03`: its beginning in UTC).
pub(crate) fn time_or_day(text: &str) -> Option<Timestamp> {
    let day = || text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let start = |day: Date| day.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp());
    text.parse().ok().or_else(|| day().and_then(start))
}
