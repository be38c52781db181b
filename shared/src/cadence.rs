//! When a route sends what waits for it: its cadence, and the window in which it may send. Pure functions of the time.
//!
//! What waits is never dropped: it is sent at the first instant at which cadence and window both allow it.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};

/// The longest cadence in minutes: a day.
const MAX_MINUTES: u16 = 24 * 60;

/// The seconds of a day.
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The most days that are looked at for a day on which something may be sent: a week, and a day before and after it.
const DAYS: i64 = 9;

/// How often a route sends. `parse` reads the forms that a setting has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// With the run that finds something: `immediately`.
    Immediately,
    /// At every multiple of so many minutes since midnight, 1 to 1440: `every 60 minutes`.
    EveryMinutes(u16),
    /// Once on each of these days: `daily at 08:00`, `daily at 08:00 on mon-fri`.
    Daily {
        /// The time by the clock on the wall.
        at: Time,
        /// On which days.
        weekdays: Weekdays,
    },
}

/// Days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekdays {
    /// A bit for each day, Monday's is the lowest.
    bits: u8,
}

/// When something may be sent: `08:00-18:00`, `08:00-18:00 on mon-fri`, `22:00-06:00`. One that ends before it begins goes on
/// over midnight, and belongs to the day on which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: Time,
    /// `None`: midnight at the end of the day.
    to: Option<Time>,
    weekdays: Weekdays,
}

/// When a route sends: its cadence and its window, by the clock of a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    /// How often it sends.
    pub cadence: Cadence,
    /// When it may send; `None`: always.
    pub window: Option<Window>,
    /// Whose clock both mean.
    pub zone: TimeZone,
}

/// When a weekly summary is sent, by the clock on the wall: `weekly`, which is Monday at 08:00, or `weekly on fri at 16:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SummaryTime {
    /// On which day of the week.
    pub weekday: Weekday,
    /// At what time.
    pub at: Time,
}

impl SummaryTime {
    /// Which texts are read, as a phrase.
    pub const EXPECTED: &str = "weekly, or weekly on mon at 08:00";

    /// Reads one of the forms, in any casing.
    ///
    /// # Errors
    /// Where the text is none of them.
    pub fn parse(text: &str) -> Result<Self, InvalidCadence> {
        let text = text.trim().to_lowercase();
        let rest = text.strip_prefix("weekly").ok_or(InvalidCadence)?;
        if rest.is_empty() {
            return Ok(Self { weekday: Weekday::Monday, at: Time::constant(8, 0, 0, 0) });
        }
        let (day, at) = rest.strip_prefix(" on ").and_then(|rest| rest.split_once(" at ")).ok_or(InvalidCadence)?;
        let (day, at) = (weekday(day.trim()), time(at.trim()));
        day.zip(at).map(|(weekday, at)| Self { weekday, at }).ok_or(InvalidCadence)
    }
}

/// A text is no cadence, or no window. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is none of the forms that are known")]
pub struct InvalidCadence;

impl Cadence {
    /// Which texts are read, as a phrase.
    pub const EXPECTED: &str =
        "immediately, every N minutes (1 to 1440), or daily at HH:MM, with or without `on mon-fri`";

    /// Reads one of the forms, in any casing.
    ///
    /// # Errors
    /// Where the text is none of them.
    pub fn parse(text: &str) -> Result<Self, InvalidCadence> {
        let text = text.trim().to_lowercase();
        if text == "immediately" {
            return Ok(Self::Immediately);
        }
        if let Some(minutes) = text.strip_prefix("every ").and_then(|rest| rest.strip_suffix(" minutes")) {
            let minutes = minutes.trim().parse().ok().filter(|minutes| (1..=MAX_MINUTES).contains(minutes));
            return minutes.map(Self::EveryMinutes).ok_or(InvalidCadence);
        }
        let (at, weekdays) = with_weekdays(text.strip_prefix("daily at ").ok_or(InvalidCadence)?)?;
        Ok(Self::Daily { at: time(at).ok_or(InvalidCadence)?, weekdays })
    }

    /// The first instant, not before a time, at which it sends.
    fn next(&self, since: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Immediately => since,
            Self::EveryMinutes(minutes) => {
                let next = multiple(i64::from(*minutes) * 60, since, zone);
                // Where the clocks change before it, it is counted by the new time.
                let change = zone.following(since).next().map(|change| change.timestamp());
                change.filter(|change| *change <= next).map_or(next, |change| self.next(change, zone))
            }
            Self::Daily { at, weekdays } => days(since, zone)
                .filter(|day| weekdays.has(day.weekday()))
                .filter_map(|day| instant(day.to_datetime(*at), zone))
                .find(|instant| *instant >= since)
                .unwrap_or(since),
        }
    }
}

impl Weekdays {
    /// Every day.
    pub const ALL: Self = Self { bits: 0b111_1111 };

    /// Reads names of days and ranges of them with commas between: `mon-fri`, `mon, wed, fri`, `sat-mon`.
    fn parse(text: &str) -> Option<Self> {
        let mut bits = 0;
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (weekday(first.trim())?, weekday(last.trim())?);
            bits |= first
                .cycle_forward()
                .take(7)
                .position(|day| day == last)
                .map(|count| first.cycle_forward().take(count + 1).fold(0, |bits, day| bits | bit(day)))?;
        }
        Some(Self { bits })
    }

    fn has(self, day: Weekday) -> bool {
        self.bits & bit(day) != 0
    }
}

impl Window {
    /// Which texts are read, as a phrase.
    pub const EXPECTED: &str = "HH:MM-HH:MM, with or without `on mon-fri`";

    /// Reads one of the forms, in any casing. It may end at `24:00`.
    ///
    /// # Errors
    /// Where the text is none of them, or nothing is between its two times.
    pub fn parse(text: &str) -> Result<Self, InvalidCadence> {
        let text = text.trim().to_lowercase();
        let (times, weekdays) = with_weekdays(&text)?;
        let (from, to) = times.split_once('-').ok_or(InvalidCadence)?;
        let (from, to) = (time(from.trim()).ok_or(InvalidCadence)?, to.trim());
        let to = if to == "24:00" { None } else { Some(time(to).ok_or(InvalidCadence)?) };
        if to == Some(from) { Err(InvalidCadence) } else { Ok(Self { from, to, weekdays }) }
    }

    /// How long it is by the clock on the wall.
    fn length(&self) -> SignedDuration {
        let seconds = |time: Time| i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60;
        let (from, to) = (seconds(self.from), self.to.map_or(DAY_SECONDS, seconds));
        SignedDuration::from_secs(if to > from { to - from } else { to + DAY_SECONDS - from })
    }

    /// The first instant, not before a time, that is in the window.
    fn next(&self, since: Timestamp, zone: &TimeZone) -> Timestamp {
        let open = days(since, zone).filter(|day| self.weekdays.has(day.weekday())).filter_map(|day| {
            let ends_on = if self.to.is_some_and(|to| to > self.from) { day } else { day.tomorrow().ok()? };
            let from = instant(day.to_datetime(self.from), zone)?;
            let to = instant(ends_on.to_datetime(self.to.unwrap_or(Time::midnight())), zone)?;
            (since < to && from < to).then(|| from.max(since))
        });
        open.min().unwrap_or(since)
    }
}

impl Timetable {
    /// From when on what waits since a time may be sent: at that time, if it is urgent, or else when the cadence says; and in
    /// the window in both cases.
    pub fn due(&self, since: Timestamp, is_urgent: bool) -> Timestamp {
        let next = if is_urgent { since } else { self.cadence.next(since, &self.zone) };
        self.window.map_or(next, |window| window.next(next, &self.zone))
    }

    /// The same, with what was to be sent more often, or at once, at most every so many minutes.
    #[must_use]
    pub fn at_most_every(&self, minutes: u16) -> Self {
        let cadence = match self.cadence {
            Cadence::Immediately => Cadence::EveryMinutes(minutes),
            Cadence::EveryMinutes(own) => Cadence::EveryMinutes(own.max(minutes)),
            daily @ Cadence::Daily { .. } => daily,
        };
        Self { cadence, ..self.clone() }
    }

    /// Whether it may be sent now, where that is asked once in an interval. What was due in a window that is over waits for the
    /// next one. A window that is shorter than the interval may open and close between two times of asking: it counts until
    /// an interval after it.
    pub fn is_due(&self, since: Timestamp, is_urgent: bool, now: Timestamp, interval: SignedDuration) -> bool {
        let due = self.due(since, is_urgent);
        let is_open = |window: Window| {
            let asked = if window.length() < interval { now.saturating_sub(interval).unwrap_or(now) } else { now };
            window.next(asked.max(due), &self.zone) <= now
        };
        due <= now && self.window.is_none_or(is_open)
    }
}

/// The first instant, not before a time, at which the clock on the wall shows a multiple of so many seconds, if it does not
/// change before.
fn multiple(seconds: i64, since: Timestamp, zone: &TimeZone) -> Timestamp {
    let local = since.as_second().saturating_add(i64::from(zone.to_offset(since).seconds()));
    let over = local.rem_euclid(seconds);
    let missing = if over == 0 && since.subsec_nanosecond() == 0 { 0 } else { seconds - over };
    Timestamp::from_second(since.as_second().saturating_add(missing)).unwrap_or(since)
}

/// The days around a time, from the day before it on.
fn days(since: Timestamp, zone: &TimeZone) -> impl Iterator<Item = Date> {
    let today = zone.to_datetime(since).date();
    (-1..DAYS).filter_map(move |day| today.checked_add(Span::new().days(day)).ok())
}

/// When the clock on the wall shows a time: the first instant after a gap that it falls into, and the first of two.
fn instant(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(time);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => {
            let before = ambiguous.earlier().ok()?;
            zone.following(before).next().map(|transition| transition.timestamp())
        }
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
    }
}

/// A text without ` on mon-fri` at its end, and what that says.
fn with_weekdays(text: &str) -> Result<(&str, Weekdays), InvalidCadence> {
    match text.split_once(" on ") {
        Some((rest, weekdays)) => Ok((rest.trim(), Weekdays::parse(weekdays).ok_or(InvalidCadence)?)),
        None => Ok((text.trim(), Weekdays::ALL)),
    }
}

/// A time of the day as `HH:MM`.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

fn weekday(text: &str) -> Option<Weekday> {
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let number = names.iter().position(|name| *name == text)?;
    Weekday::from_monday_zero_offset(i8::try_from(number).ok()?).ok()
}

fn bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

#[cfg(test)]
mod tests;
