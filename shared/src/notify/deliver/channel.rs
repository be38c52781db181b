//! What becomes of a channel when its destination accepts a mail, refuses it, or cannot be reached.

use crate::notify::log::{Channel, Entry, Flight, Parked, Position, Told, Urgent};
use crate::notify::times::later;
use jiff::{SignedDuration, Timestamp};

/// The shortest pause after a failure.
const SHORTEST_PAUSE: SignedDuration = SignedDuration::from_secs(50);

/// The longest pause after failures in a row.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(55);

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
        if self.is_reduced { 1 } else { self.limit.unwrap_or(digest_size).clamp(1, digest_size.max(1)) }
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
        self.is_reduced = false;
        (self.attempts, self.next_attempt, self.reason, self.told) = (0, None, None, Told::Nothing);
    }

    /// Some recipients have a mail that others are still to get.
    pub(super) fn delivered_to(&mut self, until: &Position, id: &str, recipients: Vec<String>) {
        let mut done = self.flight.take().map(|flight| flight.done).unwrap_or_default();
        done.extend(recipients);
        self.flight = Some(Flight { until: until.clone(), id: id.to_owned(), done });
    }

    /// Nothing is owed before a place.
    pub(super) fn looked_through(&mut self, until: &Position) {
        self.pass(until, 0);
    }

    /// The first entries, which end at a place, are put off: they stand at the end of the log now, in a row of this key, and
    /// are as urgent there, and as likely to be repeats, as they were.
    pub(super) fn put_off(&mut self, until: &Position, entries: usize, row: &str) {
        let end = Position::new(row, entries);
        let (urgent, owed, is_maybe) = (self.urgent_since(), self.owed, self.cursor < self.maybe);
        self.pass(until, entries);
        self.owed = owed;
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
                let (at, entry) = (at.clone(), entry.clone());
                self.pass(until, 1);
                self.is_reduced = false;
                Some(Parked { channel: self.id.clone(), at, entry, reason: reason.to_owned() })
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
        let old: Vec<_> = entries.iter().take(most).take_while(is_old).cloned().collect();
        if let Some((last, _)) = old.last() {
            self.pass(&Position::new(&last.row, last.index + 1), old.len());
        }
        let reason = format!("it waited for longer than leads are kept: {reason}");
        let parked = |(at, entry)| Parked { channel: self.id.clone(), at, entry, reason: reason.clone() };
        old.into_iter().map(parked).collect()
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
        self.next_attempt = Some(later(now, doubled.min(LONGEST_PAUSE).max(asked)));
        self.reason = Some(reason.to_owned());
    }
}
