//! When a channel sends what it owes.

use super::Notifier;
use super::log::{Channel, Target};
use super::times::span;
use crate::cadence::{Cadence, Timetable};
use crate::lead::Lead;
use crate::settings::UrgentAction;
use jiff::{SignedDuration, Timestamp};

/// How far apart the mails of a channel are at least, in minutes, while its mail service has no quota left for more.
const GROUPED: u16 = 60;

/// For how long they are after the service said so. SES counts the mails of the last 24 hours.
pub(super) const GROUPED_FOR: SignedDuration = SignedDuration::from_hours(24);

impl<T, M> Notifier<T, M> {
    /// When a target gets what it is owed, as the settings are now. One that is gone gets it as the default recipients do.
    fn timetable(&self, target: &Target) -> Timetable {
        let mail = &self.settings.mail;
        let route = self.route(&target.route);
        Timetable {
            cadence: route.and_then(|route| route.cadence).unwrap_or(mail.cadence),
            window: route.and_then(|route| route.window),
            zone: route.and_then(|route| route.zone.clone()).unwrap_or_else(|| mail.time_zone.clone()),
        }
    }

    /// Whether a lead is to go out at once to a target.
    pub(super) fn is_urgent(&self, lead: &Lead, target: &Target) -> bool {
        let takes_urgent = self.route(&target.route).is_none_or(|route| route.urgent_at_once);
        takes_urgent && self.settings.mail.urgent.iter().any(|urgent| is_of(lead, urgent))
    }

    /// When a target gets a lead that came now and is not urgent.
    pub(super) fn next_regular(&self, target: &Target, now: Timestamp) -> Timestamp {
        self.timetable(target).due(now, false)
    }

    /// Whether a lead that was recorded at this time was to go out at once to a target, by its cadence and its window.
    pub(super) fn goes_at_once(&self, lead: &Lead, target: &Target, recorded: Timestamp) -> bool {
        let timetable = self.timetable(target);
        timetable.due(recorded, self.is_urgent(lead, target)) <= recorded
    }

    /// From when on a channel may send what it owes; `None` where it owes nothing. What is urgent takes along what waits: the
    /// channel has one cursor, and its recipients see everything that is new, in its order.
    pub(super) fn due(&self, channel: &Channel) -> Option<Timestamp> {
        let oldest = channel.oldest.filter(|_| channel.owes())?;
        let timetable = self.timetable(&channel.target);
        let rest = timetable.due(oldest, false);
        Some(channel.urgent_since().map_or(rest, |since| timetable.due(since, true).min(rest)))
    }

    /// Whether a channel is to send now.
    pub(super) fn is_due(&self, channel: &Channel, now: Timestamp) -> bool {
        if !channel.owes() || channel.next_attempt.is_some_and(|next| next > now) {
            return false;
        }
        let Some(oldest) = channel.oldest else { return true };
        let timetable = self.timetable(&channel.target);
        let interval = span(self.settings.schedule.interval);
        if channel.grouped_until.is_some_and(|until| now < until) {
            // What is urgent waits for no day.
            let hourly = Timetable { cadence: Cadence::EveryMinutes(GROUPED), ..timetable.clone() };
            let is_urgent = channel.urgent_since().is_some_and(|since| hourly.is_due(since, false, now, interval));
            return is_urgent || timetable.at_most_every(GROUPED).is_due(oldest, false, now, interval);
        }
        let is_urgent = channel.urgent_since().is_some_and(|since| timetable.is_due(since, true, now, interval));
        is_urgent || timetable.is_due(oldest, false, now, interval)
    }
}

/// Whether a lead is of an action that is urgent.
fn is_of(lead: &Lead, urgent: &UrgentAction) -> bool {
    lead.is_of(&[], std::slice::from_ref(&urgent.code)) && (!urgent.needs_note || lead.has_note())
}
