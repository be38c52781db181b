//! Times as texts: the forms in which `CreatedTime` has been seen, and those near to them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::rfc2822;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use std::borrow::Cow;

/// The longest text that is read as a time, in bytes.
const LONGEST: usize = 64;

/// The first number of a date such as `11/3/2026`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// The month, as Microsoft writes.
    MonthFirst,
    /// The day of the month.
    DayFirst,
}

/// A time that can be one of a lead: from 2000 to 2100. Nothing is calculated with any other time, and it is shown as
/// unknown.
pub(crate) fn plausible(time: Timestamp) -> Option<Timestamp> {
    /// 2000-01-01 and 2101-01-01 in UTC, as seconds since 1970.
    const SECONDS: std::ops::Range<i64> = 946_684_800..4_133_980_800;
    SECONDS.contains(&time.as_second()).then_some(time)
}

/// A time as precisely as intake keeps it.
pub(crate) fn to_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// Reads a time. Without a zone it is taken as UTC, and without a time of day it is midnight. These forms are known:
///
/// - RFC 3339, the same without a zone, and the day alone (`2026-11-03`);
/// - dates with slashes, in the order that is given (`11/03/2026 20:02:52`, `11/3/2026 8:02 PM`); the seconds, AM or PM,
///   an offset and the whole time of day may be missing;
/// - dates with the month in English letters (`3 Nov 2026`), and RFC 2822;
/// - .NET's ticks, which are 100 nanoseconds since 0001-01-01 in UTC.
pub(crate) fn read(text: &str, order: DateOrder) -> Option<Timestamp> {
    let text = plain(text)?;
    let mail = || rfc2822::parse(&text).ok().map(|time| time.timestamp());
    let standard = || ticks(&text).or_else(|| iso(&text)).or_else(mail);
    // Microsoft writes mostly dates with slashes.
    let is_slashed = text.contains('/');
    let first = if is_slashed { words(&text, order) } else { standard() };
    first.or_else(|| if is_slashed { standard() } else { words(&text, order) })
}

/// The text with one ordinary space for each stretch of white space, and without marks of direction, which browsers and
/// .NET put between the parts of a time. `None` where it cannot be a time.
fn plain(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    if text.len() > LONGEST || !text.contains(|character: char| character.is_ascii_digit()) {
        return None;
    }
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.contains("  ") {
        return Some(text.into());
    }
    let text = text.replace(['\u{200e}', '\u{200f}', '\u{feff}'], "");
    Some(text.split_whitespace().collect::<Vec<_>>().join(" ").into())
}

/// Reads RFC 3339, with or without a zone and a time of day. A time beyond the range of [`Timestamp`] is read as its end.
fn iso(text: &str) -> Option<Timestamp> {
    let parts = Pieces::parse(text).ok()?;
    let time = parts.date().to_datetime(parts.time().unwrap_or(Time::midnight()));
    let end = if time.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Some(utc(time, parts.to_numeric_offset().unwrap_or(Offset::UTC)).unwrap_or(end))
}

fn utc(time: DateTime, offset: Offset) -> Option<Timestamp> {
    TimeZone::fixed(offset).to_timestamp(time).ok()
}

/// .NET's ticks of the years from which leads can be.
fn ticks(text: &str) -> Option<Timestamp> {
    /// 1970-01-01 in ticks.
    const UNIX_EPOCH: i128 = 621_355_968_000_000_000;
    if text.len() != 18 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Timestamp::from_nanosecond((text.parse::<i128>().ok()? - UNIX_EPOCH) * 100).ok()
}

/// Reads the parts of a time from the last one to the first one: zone, AM or PM, time of day, date.
fn words(text: &str, order: DateOrder) -> Option<Timestamp> {
    let mut text = text.to_ascii_uppercase();
    if text.contains(['.', ',']) {
        text = text.replace("A.M.", "AM").replace("P.M.", "PM").replace(',', " ");
    }
    let (date, clock) = match text.find(':') {
        None => (text.as_str(), ""),
        Some(colon) => {
            let hour = text[..colon].trim_end_matches(|character: char| character.is_ascii_digit()).len();
            let (date, clock) = text.split_at(hour);
            (date.strip_suffix('T').unwrap_or(date), clock)
        }
    };
    let (clock, offset) = match clock.find(['Z', 'U', 'G', '+', '-']) {
        None => (clock, Offset::UTC),
        Some(zone) => (&clock[..zone], read_offset(&clock[zone..])?),
    };
    let time = if clock.is_empty() { Time::midnight() } else { time_of_day(clock.trim())? };
    utc(read_date(date, order)?.to_datetime(time), offset)
}

fn read_offset(text: &str) -> Option<Offset> {
    match text {
        "Z" | "UTC" | "GMT" => Some(Offset::UTC),
        _ => ["%:z", "%z"].iter().find_map(|form| BrokenDownTime::parse(form, text).ok()?.offset()),
    }
}

fn time_of_day(text: &str) -> Option<Time> {
    let has_seconds = text.matches(':').count() > 1;
    let form = match (has_seconds, text.ends_with('M')) {
        (true, true) => "%I:%M:%S%.f %p",
        (true, false) => "%H:%M:%S%.f",
        (false, true) => "%I:%M %p",
        (false, false) => "%H:%M",
    };
    Time::strptime(form, text).ok()
}

fn read_date(text: &str, order: DateOrder) -> Option<Date> {
    let mut parts = text.trim().split('/');
    if let (Some(first), Some(second), Some(third), None) = (parts.next(), parts.next(), parts.next(), parts.next()) {
        let (year, month, day) = match (first.len(), third.len(), order) {
            (4, _, _) => (first, second, third),
            (_, 4, DateOrder::MonthFirst) => (third, first, second),
            (_, 4, DateOrder::DayFirst) => (third, second, first),
            _ => return None,
        };
        return Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok();
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let forms = ["%Y-%m-%d", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y"];
    forms.iter().find_map(|form| Date::strptime(form, &text).ok())
}
