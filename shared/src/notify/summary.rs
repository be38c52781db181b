//! The weekly summary: when it is due, what it is made of, and sending it.

use super::log::{self, day_key};
use super::run::{Run, SEND, TABLE_CALL};
use super::times::later;
use super::{Notifier, NotifyError};
use crate::cadence::SummaryTime;
use crate::mail::{Counts, Mailer, Summary, render_summary};
use crate::settings::Route;
use crate::table::{Query, Table};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use std::collections::BTreeMap;

/// How many weeks before the one that it tells of a summary compares with.
const WEEKS_BEFORE: i64 = 4;

/// For how long after its time a summary is sent. A route that is new, or a notifier that was paused, tells nothing of a
/// week that is long over.
const LATEST: SignedDuration = SignedDuration::from_hours(24);

/// The longest that a run reads counts: what comes after the summaries is to have its turn.
const READING_SHARE: SignedDuration = SignedDuration::from_secs(30);

/// For how many days counts are kept.
const KEPT_DAYS: i64 = 70;

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Sends the summaries that are due. They come after the leads, and keep none of them from being sent.
    pub(super) async fn summarize(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        let now = self.now();
        let due: Vec<_> = self.settings.mail.routes.iter().filter_map(|route| self.due_day(route, now)).collect();
        for (route, day) in due {
            if run.log.counted().told.get(&route.id).is_some_and(|told| *told >= day) {
                continue;
            }
            if !run.has_time(self.now(), SEND + TABLE_CALL * 2) {
                run.is_stopped = true;
                return Ok(());
            }
            let Some(days) = self.days(run, day).await? else {
                run.is_stopped = true;
                return Ok(());
            };
            let summary = summary(&route.id, day, &days);
            let rendered = render_summary(&summary, &self.render_settings());
            if self.send_notice(run, "summary", &rendered, &route.to).await? {
                tracing::info!(run = run.id, route = route.id, leads = summary.week.leads, "a summary was sent");
                run.log.note_summary(&route.id, day).await?;
            }
        }
        Ok(())
    }

    /// The day on which a route's last summary was due, where that is not too long ago.
    fn due_day<'a>(&self, route: &'a Route, now: Timestamp) -> Option<(&'a Route, Date)> {
        let zone = route.zone.as_ref().unwrap_or(&self.settings.mail.time_zone);
        Some((route, last_due(route.summary?, now, zone)?))
    }

    /// What each day of the weeks before a day brought, that day left out. `None` where that takes too long.
    async fn days(&self, run: &Run<T>, day: Date) -> Result<Option<BTreeMap<Date, Counts>>, NotifyError> {
        let first = day.checked_sub((7 * (WEEKS_BEFORE + 1)).days()).unwrap_or(day);
        let query = Query {
            row_key_from: Some(day_key(first)),
            row_key_before: Some(day_key(day)),
            ..Query::partition(log::PARTITION)
        };
        let until = later(self.now(), READING_SHARE);
        let (mut days, mut next) = (BTreeMap::new(), None);
        loop {
            if self.now() > until || !run.has_time(self.now(), SEND + TABLE_CALL * 2) {
                return Ok(None);
            }
            let page = self.state.page(&query, next.as_ref()).await?;
            days.extend(log::days(&page.entities));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let counted = run.log.counted();
        if let Some(today) = counted.day.filter(|today| (first..day).contains(today)) {
            days.insert(today, counted.counts.clone());
        }
        Ok(Some(days))
    }
}

/// The rows of days that are so old that no summary asks for them.
pub(super) fn old_days(now: Timestamp) -> Query {
    let today = now.to_zoned(TimeZone::UTC).date();
    log::days_before(today.checked_sub(KEPT_DAYS.days()).unwrap_or(today))
}

/// The local day of the last time at which a summary was due.
fn last_due(time: SummaryTime, now: Timestamp, zone: &TimeZone) -> Option<Date> {
    let today = now.to_zoned(zone.clone()).date();
    [Some(today), today.yesterday().ok()].into_iter().flatten().find(|day| {
        let due = day.to_datetime(time.at).to_zoned(zone.clone()).map(|due| due.timestamp());
        day.weekday() == time.weekday && due.is_ok_and(|due| due <= now && now.duration_since(due) < LATEST)
    })
}

/// The summary of the seven days before a day.
fn summary(route: &str, day: Date, days: &BTreeMap<Date, Counts>) -> Summary {
    let back = |count: i64| day.checked_sub(count.days()).unwrap_or(day);
    let week = |ago: i64| {
        let mut sum = Counts::default();
        days.range(back(7 * (ago + 1))..back(7 * ago)).for_each(|(_, counts)| sum.add(counts));
        sum
    };
    let counted_since = days.keys().next().copied();
    let before = (1..=WEEKS_BEFORE).rev().filter(|ago| counted_since.is_some_and(|first| first < back(7 * ago)));
    let is_quiet = |day: &Date| {
        counted_since.is_some_and(|first| first <= *day) && days.get(day).is_none_or(|counts| counts.leads == 0)
    };
    Summary {
        id: format!("summary-{route}-{day}"),
        last_day: back(1),
        week: week(0),
        before: before.map(week).collect(),
        quiet_days: (1..=7).map(back).filter(is_quiet).count().try_into().unwrap_or(7),
    }
}
