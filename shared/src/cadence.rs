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
mod tests {
    use super::*;

    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    fn timetable(cadence: &str, window: &str, zone: &str) -> Timetable {
        Timetable {
            cadence: Cadence::parse(cadence).unwrap_or_else(|_| panic!("{cadence:?}")),
            window: Some(window).filter(|text| !text.is_empty()).map(|text| Window::parse(text).unwrap()),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or_else(|_| panic!("{text:?}"))
    }

    #[test]
    fn what_waits_is_due_at_the_next_time_of_the_cadence() {
        for (cadence, zone, since, due) in [
            ("immediately", "UTC", "2026-11-03T14:07:31.5Z", "2026-11-03T14:07:31.5Z"),
            ("every 60 minutes", "UTC", "2026-11-03T14:07:31.5Z", "2026-11-03T15:00:00Z"),
            ("every 60 minutes", "UTC", "2026-11-03T14:00:00Z", "2026-11-03T14:00:00Z"),
            ("every 60 minutes", "UTC", "2026-11-03T14:00:00.000001Z", "2026-11-03T15:00:00Z"),
            // At the full hour of the zone.
            ("every 60 minutes", "Asia/Kolkata", "2026-11-03T14:07:00Z", "2026-11-03T14:30:00Z"),
            ("every 1440 minutes", "Europe/Berlin", "2026-11-03T14:07:00Z", "2026-11-03T23:00:00Z"),
            ("every 15 minutes", "UTC", "2026-11-03T23:46:00Z", "2026-11-04T00:00:00Z"),
            ("daily at 08:00", "Europe/Berlin", "2026-11-03T14:07:00Z", "2026-11-04T07:00:00Z"),
            ("daily at 08:00", "Europe/Berlin", "2026-11-03T07:00:00Z", "2026-11-03T07:00:00Z"),
            ("daily at 08:00", "Europe/Berlin", "2026-11-03T06:59:59Z", "2026-11-03T07:00:00Z"),
            ("daily at 08:00", "Pacific/Kiritimati", "2026-11-03T18:30:00Z", "2026-11-04T18:00:00Z"),
            // The 6th is a Friday.
            ("daily at 08:00 on mon-fri", "UTC", "2026-11-06T08:00:01Z", "2026-11-09T08:00:00Z"),
            ("daily at 08:00 on fri", "UTC", "2026-11-06T08:00:01Z", "2026-11-13T08:00:00Z"),
            ("daily at 08:00 on sat-mon, wed", "UTC", "2026-11-09T09:00:00Z", "2026-11-11T08:00:00Z"),
            ("Daily at 08:00 on Sun", "UTC", "2026-11-06T08:00:01Z", "2026-11-08T08:00:00Z"),
        ] {
            let due_at = timetable(cadence, "", zone).due(at(since), false);
            assert_eq!(due_at, at(due), "{cadence}, {zone}, since {since}");
        }
    }

    #[test]
    fn when_the_clocks_change_a_gap_is_followed_by_its_first_instant_and_a_fold_counts_once() {
        for (cadence, zone, since, due) in [
            // In Berlin 02:00 becomes 03:00 on 2027-03-28 at 01:00 UTC.
            ("daily at 02:30", "Europe/Berlin", "2027-03-27T12:00:00Z", "2027-03-28T01:00:00Z"),
            ("daily at 02:00", "Europe/Berlin", "2027-03-27T12:00:00Z", "2027-03-28T01:00:00Z"),
            ("daily at 02:30", "Europe/Berlin", "2027-03-28T01:00:01Z", "2027-03-29T00:30:00Z"),
            ("daily at 03:00", "Europe/Berlin", "2027-03-27T12:00:00Z", "2027-03-28T01:00:00Z"),
            ("every 60 minutes", "Europe/Berlin", "2027-03-28T00:10:00Z", "2027-03-28T01:00:00Z"),
            // 03:00 becomes 02:00 on 2026-10-25 at 01:00 UTC: 02:30 is at 00:30 UTC, and again at 01:30 UTC.
            ("daily at 02:30", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("daily at 02:30", "Europe/Berlin", "2026-10-25T00:30:01Z", "2026-10-26T01:30:00Z"),
            ("daily at 03:00", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T02:00:00Z"),
            ("every 15 minutes", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T01:15:00Z"),
            // On Lord Howe Island the clocks change by half an hour: 02:00 becomes 02:30 on 2026-10-04 at 15:30 UTC the day before.
            ("daily at 02:15", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z"),
            ("every 60 minutes", "Australia/Lord_Howe", "2026-10-03T15:40:00Z", "2026-10-03T16:00:00Z"),
            // Samoa had no 30 December 2011.
            ("daily at 12:00", "Pacific/Apia", "2011-12-30T05:00:00Z", "2011-12-30T10:00:00Z"),
        ] {
            let due_at = timetable(cadence, "", zone).due(at(since), false);
            assert_eq!(due_at, at(due), "{cadence}, {zone}, since {since}");
        }
    }

    #[test]
    fn what_is_due_outside_the_window_waits_until_it_opens() {
        const ZONE: &str = "Europe/Berlin";
        for (cadence, window, since, due) in [
            ("immediately", "08:00-18:00", "2026-11-03T09:00:00Z", "2026-11-03T09:00:00Z"),
            ("immediately", "08:00-18:00", "2026-11-03T07:00:00Z", "2026-11-03T07:00:00Z"),
            ("immediately", "08:00-18:00", "2026-11-03T17:00:00Z", "2026-11-04T07:00:00Z"),
            ("immediately", "08:00-18:00", "2026-11-03T02:00:00Z", "2026-11-03T07:00:00Z"),
            ("immediately", "08:00-18:00 on mon-fri", "2026-11-06T18:00:00Z", "2026-11-09T07:00:00Z"),
            ("immediately", "00:00-24:00 on mon-fri", "2026-11-06T22:59:59Z", "2026-11-06T22:59:59Z"),
            ("immediately", "00:00-24:00 on mon-fri", "2026-11-06T23:00:00Z", "2026-11-08T23:00:00Z"),
            ("immediately", "00:00-24:00", "2026-11-06T23:00:00Z", "2026-11-06T23:00:00Z"),
            // Over midnight: Friday's ends on Saturday morning.
            ("immediately", "22:00-06:00 on fri", "2026-11-07T03:00:00Z", "2026-11-07T03:00:00Z"),
            ("immediately", "22:00-06:00 on fri", "2026-11-07T05:00:00Z", "2026-11-13T21:00:00Z"),
            ("every 60 minutes", "08:30-18:00", "2026-11-03T16:30:00Z", "2026-11-04T07:30:00Z"),
            ("daily at 20:00", "08:00-18:00", "2026-11-03T12:00:00Z", "2026-11-04T07:00:00Z"),
            ("daily at 08:00", "08:00-18:00 on mon-fri", "2026-11-06T12:00:00Z", "2026-11-09T07:00:00Z"),
            // A window that begins in a gap opens behind it, and one within a gap on the next day.
            ("immediately", "02:30-06:00", "2027-03-28T00:00:00Z", "2027-03-28T01:00:00Z"),
            ("immediately", "02:15-02:45", "2027-03-28T00:00:00Z", "2027-03-29T00:15:00Z"),
            // One that ends in a fold ends at the first of the two times.
            ("immediately", "01:00-02:30", "2026-10-25T00:29:00Z", "2026-10-25T00:29:00Z"),
            ("immediately", "01:00-02:30", "2026-10-25T01:29:00Z", "2026-10-26T00:00:00Z"),
        ] {
            let timetable = timetable(cadence, window, ZONE);
            let (since, due) = (at(since), at(due));
            assert_eq!(timetable.due(since, false), due, "{cadence}, {window}, since {since}");
            assert!(timetable.is_due(since, false, due, MINUTE), "{cadence}, {window}: it is sent when it is due");
            let before = Timestamp::from_second(due.as_second() - 1).unwrap();
            assert!(
                before < since || !timetable.is_due(since, false, before, MINUTE),
                "{cadence}, {window}: not before"
            );
        }
    }

    #[test]
    fn what_is_urgent_waits_for_no_cadence_but_for_the_window() {
        let since = at("2026-11-03T12:10:00Z");
        assert_eq!(timetable("daily at 08:00", "", "UTC").due(since, true), since);
        let windowed = timetable("every 60 minutes", "14:00-18:00", "UTC");
        assert_eq!(windowed.due(since, true), at("2026-11-03T14:00:00Z"));
    }

    #[test]
    fn what_was_due_in_a_window_that_is_over_waits_for_the_next_one() {
        let timetable = timetable("immediately", "08:00-18:00", "UTC");
        let since = at("2026-11-03T17:59:00Z");
        assert!(timetable.is_due(since, false, at("2026-11-03T17:59:30Z"), MINUTE));
        assert!(!timetable.is_due(since, false, at("2026-11-03T18:00:00Z"), MINUTE));
        assert!(timetable.is_due(since, false, at("2026-11-04T08:00:00Z"), MINUTE));
    }

    #[test]
    fn whatever_the_cadence_and_the_window_are_everything_is_due_within_two_weeks() {
        let cadences =
            ["immediately", "every 7 minutes", "every 1440 minutes", "daily at 02:30", "daily at 23:59 on sun"];
        let windows = ["", "08:00-18:00 on mon-fri", "02:15-02:45", "23:30-00:30", "00:00-24:00 on sat"];
        let zones = ["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu"];
        for (cadence, window, zone) in
            pairs(&cadences, &windows).into_iter().flat_map(|(c, w)| zones.map(|zone| (c, w, zone)))
        {
            let timetable = timetable(cadence, window, zone);
            let mut last = Timestamp::MIN;
            for step in 0..24 * 366 / 11 {
                let since = at("2026-01-01T00:00:17Z") + jiff::SignedDuration::from_hours(step * 11);
                let due = timetable.due(since, false);
                assert!(due >= since && due >= last, "{cadence}, {window}, {zone}: {since} is due at {due}");
                assert!(
                    due.duration_since(since) < jiff::SignedDuration::from_hours(24 * 15),
                    "{cadence}, {window}, {zone}: {since} is due at {due}"
                );
                assert!(
                    timetable.is_due(since, false, due, MINUTE),
                    "{cadence}, {window}, {zone}: {since} is due at {due}"
                );
                last = due;
            }
        }
        for time in [Timestamp::MIN, Timestamp::MAX] {
            for (cadence, window) in pairs(&cadences, &windows) {
                timetable(cadence, window, "Europe/Berlin").due(time, false);
            }
        }
    }

    fn pairs<'a>(some: &[&'a str], others: &[&'a str]) -> Vec<(&'a str, &'a str)> {
        some.iter().flat_map(|one| others.iter().map(move |other| (*one, *other))).collect()
    }

    #[test]
    fn what_is_no_cadence_and_no_window_is_refused() {
        for text in [
            "",
            "hourly",
            "every minutes",
            "every 0 minutes",
            "every 1441 minutes",
            "every -5 minutes",
            "every 5 hours",
            "daily",
            "daily at 8:00",
            "daily at 24:00",
            "daily at 08:60",
            "daily at 08:00 on",
            "daily at 08:00 on ",
            "daily at 08:00 on monday",
            "daily at 08:00 on mon-",
            "daily at 08:00 on mon,",
            "weekly",
        ] {
            assert_eq!(Cadence::parse(text), Err(InvalidCadence), "{text:?}");
        }
        for text in ["", "08:00", "08:00-", "8-18", "08:00-08:00", "24:00-08:00", "08:00-25:00", "08:00-18:00 mon-fri"]
        {
            assert_eq!(Window::parse(text), Err(InvalidCadence), "{text:?}");
        }
    }
}
