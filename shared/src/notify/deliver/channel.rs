//! What becomes of a channel when its destination accepts a mail, refuses it, or cannot be reached.

use super::failure::{Effect, Failure};
use crate::notify::log::{Channel, Entry, Flight, Parked, Position, Told, Urgent};
use crate::notify::times::later;
use jiff::{SignedDuration, Timestamp};

/// The shortest pause after a failure.
const SHORTEST_PAUSE: SignedDuration = SignedDuration::from_secs(50);

/// The longest pause after failures in a row.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(55);

/// How often a destination has to fail on a lead, while it takes others, before it is given up.
const GIVEN_UP_AFTER: u32 = 4;

/// The most leads of a channel of which it is known how often that was.
const MOST_SUSPECTS: usize = 8;

/// After how many failures in a row the second message of a destination that is no mailbox goes out before the first one.
const PROBED_AFTER: u32 = 3;

impl Channel {
    /// Whether it owes anything. The places decide, not the count.
    pub(crate) fn owes(&self) -> bool {
        self.cursor < self.tail
    }

    /// Since when it owes something urgent, if it does.
    pub(crate) fn urgent_since(&self) -> Option<Timestamp> {
        self.urgent.as_ref().filter(|urgent| self.cursor < urgent.until).map(|urgent| urgent.since)
    }

    /// Makes everything that it owes urgent.
    pub(crate) fn hurry(&mut self, now: Timestamp) {
        let since = self.urgent_since().unwrap_or(now);
        self.urgent = Some(Urgent { until: self.tail.clone(), since });
    }

    /// The most leads of its next mail.
    pub(crate) fn size(&self, digest_size: usize) -> usize {
        if self.is_probing() {
            2
        } else if self.is_reduced {
            1
        } else {
            self.limit.unwrap_or(digest_size).clamp(1, digest_size.max(1))
        }
    }

    /// A run that left a flight behind may have sent it: what it held is marked from now on.
    pub(super) fn doubt(&mut self) {
        if let Some(flight) = &self.flight {
            self.maybe = self.maybe.clone().max(flight.until.clone());
        }
    }

    /// The destination has everything before a place: so many leads less are owed.
    pub(super) fn accepted(&mut self, until: &Position, entries: usize, digest_size: usize) {
        self.pass(until, entries);
        self.limit = self.limit.map(|limit| limit * 2).filter(|limit| *limit < digest_size);
        (self.is_reduced, self.has_parked) = (false, false);
        (self.attempts, self.next_attempt, self.reason, self.told) = (0, None, None, Told::Nothing);
    }

    /// Some recipients have a mail that others are still to get.
    pub(super) fn delivered_to(&mut self, until: &Position, id: &str, recipients: Vec<String>) {
        let mut done = self.flight.take().map(|flight| flight.done).unwrap_or_default();
        done.extend(recipients);
        self.flight = Some(Flight { until: until.clone(), id: id.to_owned(), done });
    }

    /// One entry, which ends at a place, was given up.
    pub(super) fn passed(&mut self, until: &Position) {
        self.pass(until, 1);
    }

    /// Notes that its destination fails on an entry and takes others. Says whether that was so often enough to give it up.
    pub(super) fn suspects(&mut self, entry: &Entry) -> bool {
        let hash = entry.hash();
        let known = self.suspects.iter().position(|(known, _)| *known == hash);
        let times = known.map_or(0, |place| self.suspects.remove(place).1) + 1;
        if times >= GIVEN_UP_AFTER {
            return true;
        }
        self.suspects.push((hash, times));
        // Those of long ago are innocent.
        let first = self.suspects.len().saturating_sub(MOST_SUSPECTS);
        self.suspects.drain(..first);
        false
    }

    /// Nothing is owed before a place.
    pub(super) fn looked_through(&mut self, until: &Position) {
        self.pass(until, 0);
    }

    /// The first entries, which end at a place, are put off: they stand at the end of the log now, in a row of this key, and
    /// are as urgent there, and as likely to be repeats, as they were.
    pub(super) fn put_off(&mut self, until: &Position, entries: usize, row: &str) {
        let end = Position::new(row, entries);
        // What was due stays so.
        let urgent = self.urgent_since().or(self.oldest);
        let (owed, is_maybe) = (self.owed, self.cursor < self.maybe);
        self.pass(until, entries);
        (self.owed, self.is_reduced) = (owed, false);
        if is_maybe {
            self.maybe = end.clone();
        }
        if let Some(since) = urgent {
            self.urgent = Some(Urgent { until: end.clone(), since });
        }
        self.tail = end;
    }

    /// Moves the cursor behind so many entries.
    fn pass(&mut self, until: &Position, entries: usize) {
        self.cursor = until.clone();
        self.owed = self.owed.saturating_sub(entries);
        self.flight = None;
        if self.owes() {
            self.oldest = self.oldest.max(self.cursor.time());
            if self.urgent_since().is_none() {
                self.urgent = None;
            }
        } else {
            (self.owed, self.oldest, self.urgent) = (0, None, None);
        }
    }

    /// The mail service refused a mail with so many entries: the next one has half as many; a single one goes without its
    /// texts; and if even that is refused, it is given up, so that those behind it get through.
    pub(super) fn refused(&mut self, until: &Position, entries: &[(Position, Entry)], reason: &str) -> Option<Parked> {
        if self.flight.take().is_some_and(|flight| !flight.done.is_empty()) {
            // Some recipients have it already: what goes to all of them again is marked.
            self.maybe = self.maybe.clone().max(until.clone());
        }
        self.reason = Some(reason.to_owned());
        match entries {
            [(at, entry)] if self.is_reduced => {
                let parked = self.parked(at, entry, reason);
                self.pass(until, 1);
                (self.is_reduced, self.has_parked) = (false, true);
                Some(parked)
            }
            [_] => {
                self.is_reduced = true;
                None
            }
            _ => {
                self.limit = Some((entries.len() / 2).max(1));
                None
            }
        }
    }

    /// Gives up those of these entries that have waited for longer than leads are kept, as many as `most`.
    pub(super) fn expire(
        &mut self,
        entries: &[(Position, Entry)],
        kept_from: Timestamp,
        most: usize,
        reason: &str,
    ) -> Vec<Parked> {
        let is_old = |(at, _): &&(Position, Entry)| at.time().is_some_and(|time| time < kept_from);
        let old: Vec<_> = entries.iter().take(most).take_while(is_old).collect();
        let reason = format!("it waited for longer than leads are kept: {reason}");
        let parked = old.iter().map(|(at, entry)| self.parked(at, entry, &reason)).collect();
        if let Some((last, _)) = old.last() {
            self.pass(&Position::new(&last.row, last.index + 1), old.len());
        }
        parked
    }

    /// An entry as it is given up.
    pub(super) fn parked(&self, at: &Position, entry: &Entry, reason: &str) -> Parked {
        let is_maybe = *at < self.maybe;
        Parked { channel: self.id.clone(), at: at.clone(), entry: entry.clone(), reason: reason.to_owned(), is_maybe }
    }

    /// What a failure means that is said to be about the message. Where a lead was given up and nothing was accepted since, it
    /// may be the destination that refuses everything: nothing more is given up before it takes something.
    pub(super) fn judged(&mut self, failure: Failure, entries: &[(Position, Entry)]) -> Failure {
        if failure.effect != Effect::Message || entries.len() > 1 || !self.is_reduced || !self.has_parked {
            return failure;
        }
        if self.target.destination.is_mail() {
            // Whether it is this lead alone is seen by the next attempt, and soon.
            self.attempts = self.attempts.min(1);
        } else {
            self.is_reduced = false;
        }
        Failure { effect: Effect::Destination, ..failure }
    }

    /// Whether its first lead was refused even without its texts, and what is behind it is to be tried before it is given up.
    pub(super) fn is_in_the_way(&self) -> bool {
        self.is_reduced && self.has_parked && self.attempts > 0
    }

    /// Whether its next message is to go out before the first one, which has failed several times: if the destination takes
    /// it, it is the first one that it refuses, whatever it answers.
    pub(super) fn is_probing(&self) -> bool {
        !self.target.destination.is_mail() && self.attempts >= PROBED_AFTER && self.attempts % 2 == PROBED_AFTER % 2
    }

    /// The destination could not be reached, or takes nothing now: it is tried again after a pause, which doubles. What
    /// may have been accepted is marked when it is sent again.
    pub(super) fn failed(
        &mut self,
        until: &Position,
        may_be_accepted: bool,
        asked: Option<std::time::Duration>,
        now: Timestamp,
        reason: &str,
    ) {
        if may_be_accepted {
            self.maybe = self.maybe.clone().max(until.clone());
        }
        if self.flight.as_ref().is_some_and(|flight| flight.done.is_empty()) {
            self.flight = None;
        }
        let doubled = SHORTEST_PAUSE * 2_i32.pow(self.attempts.min(10));
        let asked = asked.map(crate::notify::times::span).unwrap_or_default().min(SignedDuration::from_hours(6));
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts + 1 == PROBED_AFTER && !self.target.destination.is_mail() {
            // It may be one of several that it fails on: they go one by one.
            self.limit = Some(1);
        }
        self.next_attempt = Some(later(now, doubled.min(LONGEST_PAUSE).max(asked)));
        self.reason = Some(reason.to_owned());
    }
}
