//! Settings that are right by themselves, and have no effect together.

use super::{MailOrDrop, PartialMail, PartialSchedule, Route};
use crate::cadence::Cadence;
use jiff::Timestamp;
use std::time::Duration;

/// What has no effect, one sentence for each. Routes are named by their place; nothing else of the settings is repeated.
pub fn without_effect(mail: &PartialMail, schedule: &PartialSchedule) -> Vec<String> {
    let mut found = Vec::new();
    let default = mail.cadence.unwrap_or(Cadence::Immediately);
    if let (Some(overlap), Some(lookback)) = (schedule.overlap, schedule.first_lookback)
        && lookback < overlap
    {
        found.push("LEADS_FIRST_LOOKBACK_MINUTES is less than LEADS_OVERLAP_MINUTES, and the first run looks back as far as that".to_owned());
    }
    let has_urgent = mail.urgent.as_ref().is_some_and(|urgent| !urgent.is_empty());
    let interval = schedule.interval.unwrap_or_default();
    if mail.cadence.is_some_and(|cadence| is_finer(cadence, interval)) {
        found.push(
            "LEADS_CADENCE is more often than LEADS_INTERVAL_MINUTES, and mails go out as often as that".to_owned(),
        );
    }
    let is_dropped = mail.do_not_contact == Some(MailOrDrop::Drop);
    for (number, route) in (1..).zip(mail.routes.iter().flatten()) {
        let cadence = route.cadence.unwrap_or(default);
        let mut say = |what: &str| found.push(format!("route {number} {what}"));
        if route.cadence.is_some_and(|cadence| is_finer(cadence, interval)) {
            say("has a cadence that is more often than LEADS_INTERVAL_MINUTES, and its mails go out as often as that");
        }
        if is_dropped && takes_only_do_not_contact(route) {
            say("takes only leads that must not be contacted, and LEADS_DO_NOT_CONTACT keeps them out of all mails");
        } else if is_dropped && route.do_not_contact == MailOrDrop::Drop {
            say("has \"doNotContact\", and LEADS_DO_NOT_CONTACT keeps such leads out of all mails");
        }
        if !route.urgent_at_once && (!has_urgent || cadence == Cadence::Immediately) {
            say("has \"urgentAtOnce\", and nothing would go out sooner than the rest");
        }
        if route.zone.is_some() && cadence == Cadence::Immediately && route.window.is_none() {
            say("has a \"zone\", and neither a cadence nor a window that has to do with the time of the day");
        }
        if is_outside_window(route, cadence) {
            say("has a time of the day outside its \"window\", and sends when that opens");
        }
    }
    found
}

/// Whether a cadence is more often than runs are.
fn is_finer(cadence: Cadence, interval: Duration) -> bool {
    let one_minute = Duration::from_secs(60);
    match cadence {
        Cadence::Immediately => interval > one_minute,
        Cadence::EveryMinutes(minutes) => Duration::from_secs(60 * u64::from(minutes)) < interval,
        Cadence::Daily { .. } => false,
    }
}

/// Whether nothing but leads that must not be contacted can come to a route.
pub(super) fn takes_only_do_not_contact(route: &Route) -> bool {
    !route.actions.is_empty() && route.actions.iter().all(|action| action.eq_ignore_ascii_case("DNC"))
}

/// Whether the time at which a route sends is never in its window.
fn is_outside_window(route: &Route, cadence: Cadence) -> bool {
    let Some(window) = route.window.filter(|_| matches!(cadence, Cadence::Daily { .. })) else { return false };
    let table = |window| crate::cadence::Timetable { cadence, window, zone: jiff::tz::TimeZone::UTC };
    // A week has every day once; 1970 had no clock that changed.
    let times = (0..7).map(|day| Timestamp::from_second(day * 86_400).unwrap_or(Timestamp::UNIX_EPOCH));
    times.map(|time| table(None).due(time, false)).all(|due| table(Some(window)).due(due, true) != due)
}
