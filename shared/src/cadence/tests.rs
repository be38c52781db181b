//! Tables of cadences, windows and the changes of clocks.

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
        assert!(before < since || !timetable.is_due(since, false, before, MINUTE), "{cadence}, {window}: not before");
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
    let cadences = ["immediately", "every 7 minutes", "every 1440 minutes", "daily at 02:30", "daily at 23:59 on sun"];
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
    for text in ["", "08:00", "08:00-", "8-18", "08:00-08:00", "24:00-08:00", "08:00-25:00", "08:00-18:00 mon-fri"] {
        assert_eq!(Window::parse(text), Err(InvalidCadence), "{text:?}");
    }
}
