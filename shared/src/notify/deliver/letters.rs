//! What goes to a destination that is no mailbox: messages in the order of the log, so that what was accepted is a beginning
//! of what is owed, and the cursor alone says how far it came.

use super::failure::{Effect, Failure};
use crate::destinations::{Destination, Found, Kind, Outgoing};
use crate::mail::{Digest, Mailer, Occasion, RenderSettings};
use crate::notify::collect::Item;
use crate::notify::log::{Channel, Entry, Parked, Position, Target};
use crate::notify::run::{Run, SEND};
use crate::notify::times::later;
use crate::notify::{Notifier, NotifyError};
use crate::table::Table;
use jiff::Timestamp;
use std::time::Duration;

/// The most entries that are tried as one message. One for a webhook, which gets an event for each.
const MOST_ENTRIES: usize = 8;

/// One message, or nothing where all that it stands for was erased.
pub(in crate::notify) struct Letter {
    /// How many entries of the log it stands for.
    pub(in crate::notify) entries: usize,
    /// How many leads it holds.
    pub(in crate::notify) leads: usize,
    pub(in crate::notify) message: Option<Outgoing>,
}

/// The messages of a digest.
pub(in crate::notify) enum Letters {
    /// One after the other.
    InOrder(Vec<Letter>),
    /// The second lead before the first one, which has failed several times.
    Probing {
        /// The message for the second one.
        second: Letter,
        /// The message for the first one, and the one without its texts, in case that one is refused.
        first: [Letter; 2],
    },
}

impl Letters {
    /// Messages for the first two entries of a digest.
    pub(super) fn probing(
        digest: Digest,
        items: &[Option<Item>],
        destination: &Destination,
        settings: &RenderSettings,
    ) -> Self {
        let alone = |part: Option<Digest>, is_reduced: bool| {
            let mut letters = Vec::new();
            write(part.as_slice(), destination, settings, is_reduced, &mut letters);
            letters.pop().unwrap_or(Letter { entries: 1, leads: 0, message: None })
        };
        let mut parts = parts(digest, items).into_iter();
        let first = parts.next();
        // The whole one may be accepted, although its answer says nothing of it.
        let again = first.clone().map(|part| Digest { occasion: Occasion::MaybeRepeated, ..part });
        let first = [alone(first, false), alone(again, true)];
        Self::Probing { second: alone(parts.next(), false), first }
    }
}

/// Where a channel sends, as the settings and the parameters are now.
pub(in crate::notify) enum Route {
    /// By mail: to the recipients of its route, or to the default ones where its route or its destination is gone.
    Mail,
    /// To a destination that is no mailbox.
    Elsewhere(Box<Destination>),
    /// Nowhere for now.
    Blocked(Failure),
}

/// How far the messages of one digest came.
pub(in crate::notify) struct Posted {
    /// How many entries of the log were accepted.
    pub(in crate::notify) entries: usize,
    /// How many leads were.
    pub(in crate::notify) leads: usize,
    /// How many requests were accepted.
    pub(in crate::notify) posts: usize,
    /// Why the next one was not, and for how many entries it stood.
    pub(in crate::notify) error: Option<(Failure, usize)>,
    /// Why the first entry was not accepted, although the second one was.
    pub(in crate::notify) first: Option<Failure>,
}

impl Posted {
    const NOTHING: Self = Self { entries: 0, leads: 0, posts: 0, error: None, first: None };
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Where a channel sends now.
    pub(in crate::notify) async fn route_of(&self, target: &Target) -> Route {
        if target.destination.is_mail() || !self.has_target(target) {
            return Route::Mail;
        }
        self.destination_of(target).await
    }

    /// What a target's destination is now, whether or not its route is one of the settings.
    pub(in crate::notify) async fn destination_of(&self, target: &Target) -> Route {
        let found = self.destinations.find(std::slice::from_ref(&target.destination), self.now()).await;
        match found.into_iter().next() {
            Some(Found::Destination(destination)) => Route::Elsewhere(Box::new(destination)),
            Some(Found::Gone) | None => Route::Mail,
            Some(Found::Malformed(malformed)) => Route::Blocked(malformed.into()),
            Some(Found::Unknown(code)) => Route::Blocked(Failure::unread(&code)),
        }
    }

    /// Sends messages one after the other, until one is not accepted or half of the time of a send is over: a message that
    /// begins then still has the other half.
    pub(in crate::notify) async fn post(&self, destination: &Destination, letters: &[Letter]) -> Posted {
        let started = self.now();
        let mut posted = Posted::NOTHING;
        for (number, letter) in letters.iter().enumerate() {
            let now = self.now();
            if number > 0 && now >= later(started, SEND / 2) {
                break;
            }
            if let Some(message) = &letter.message {
                let limit = SEND - now.duration_since(started);
                let limit = Duration::try_from(limit).unwrap_or_default();
                if let Err(error) = self.destinations.send(destination, message, now, limit).await {
                    posted.error = Some(((&error).into(), letter.entries));
                    break;
                }
                posted.posts += 1;
            }
            posted.entries += letter.entries;
            posted.leads += letter.leads;
        }
        posted
    }

    /// Sends the second lead before the first one, which has failed several times, and then the first one, in the end without
    /// its texts.
    pub(super) async fn probe(&self, destination: &Destination, second: &Letter, first: &[Letter; 2]) -> Posted {
        let started = self.now();
        let send = async |letter: &Letter| {
            let Some(message) = &letter.message else { return Ok(()) };
            let now = self.now();
            let limit = Duration::try_from(SEND - now.duration_since(started)).unwrap_or_default();
            self.destinations.send(destination, message, now, limit).await.map_err(|error| Failure::from(&error))
        };
        if let Err(failure) = send(second).await {
            // One that refuses two leads refuses everything, whatever it says.
            let effect = if failure.effect == Effect::Message { Effect::Destination } else { failure.effect };
            let both = first[0].entries + second.entries;
            return Posted { error: Some((Failure { effect, ..failure }, both)), ..Posted::NOTHING };
        }
        let mut posted = Posted { entries: second.entries, leads: second.leads, posts: 1, ..Posted::NOTHING };
        for letter in first {
            let Err(failure) = send(letter).await else {
                let (entries, leads) = (posted.entries + letter.entries, posted.leads + letter.leads);
                return Posted { entries, leads, posts: 2, ..Posted::NOTHING };
            };
            // That the whole message may have been accepted stays true whatever becomes of the other one.
            let was_maybe = posted.first.as_ref().is_some_and(Failure::may_be_accepted);
            posted.first = Some(if was_maybe { failure.doubted() } else { failure });
        }
        posted
    }

    /// Moves a channel on from its first entry, which its destination fails on while it takes the next one, which ends at a
    /// place: the entry is owed again behind the others, or, when that has happened several times, given up. One batch
    /// notes all of it: what was accepted would else be taken for what was not sent.
    pub(super) async fn pass_by(
        &self,
        run: &mut Run<T>,
        channel: &mut Channel,
        (at, entry): (Position, Entry),
        failure: &Failure,
        until: &Position,
    ) -> Result<Option<Parked>, NotifyError> {
        let reason = &failure.reason;
        tracing::error!(run = run.id, channel = %channel.id, reason, "the destination fails on a lead, and takes others");
        let behind = Position::new(&at.row, at.index + 1);
        if failure.may_be_accepted() {
            channel.maybe = channel.maybe.clone().max(behind.clone());
        }
        if channel.suspects(&entry) {
            let parked = channel.parked(&at, &entry, reason);
            channel.passed(&behind);
            channel.accepted(until, 1, self.settings.digest_size);
            return Ok(Some(parked));
        }
        let row = run.log.next_row();
        channel.put_off(&behind, 1, &row);
        channel.accepted(until, 1, self.settings.digest_size);
        run.log.put_off(channel.clone(), &row, vec![entry]).await?;
        Ok(None)
    }
}

/// The messages that a destination gets of a digest, whose leads and other things stand here in the order of these items.
/// `None` is what was erased.
pub(in crate::notify) fn letters(
    digest: Digest,
    items: &[Option<Item>],
    destination: &Destination,
    settings: &RenderSettings,
    is_reduced: bool,
) -> Vec<Letter> {
    let at_once = if destination.kind() == Kind::Webhook { 1 } else { MOST_ENTRIES };
    let mut letters = Vec::new();
    for part in parts(digest, items).chunks(at_once) {
        write(part, destination, settings, is_reduced, &mut letters);
    }
    letters
}

/// A digest in parts, one for each item.
fn parts(digest: Digest, items: &[Option<Item>]) -> Vec<Digest> {
    let Digest { leads, unreadable, quarantined, .. } = digest;
    let empty = Digest { leads: Vec::new(), unreadable: Vec::new(), quarantined: Vec::new(), ..digest };
    let (mut leads, mut unreadable, mut quarantined) =
        (leads.into_iter(), unreadable.into_iter(), quarantined.into_iter());
    items
        .iter()
        .map(|item| {
            let mut part = empty.clone();
            match item {
                None => {}
                Some(Item::Lead(_)) => part.leads.extend(leads.next()),
                Some(Item::Unreadable(_)) => part.unreadable.extend(unreadable.next()),
                Some(Item::Quarantined(_)) => part.quarantined.extend(quarantined.next()),
            }
            part
        })
        .collect()
}

/// Writes parts as one message, or each half of them as one or more.
fn write(
    parts: &[Digest],
    destination: &Destination,
    settings: &RenderSettings,
    is_reduced: bool,
    letters: &mut Vec<Letter>,
) {
    let Some((first, rest)) = parts.split_first() else { return };
    let mut digest = first.clone();
    for part in rest {
        digest.leads.extend(part.leads.iter().cloned());
        digest.unreadable.extend(part.unreadable.iter().cloned());
        digest.quarantined.extend(part.quarantined.iter().cloned());
    }
    let (entries, leads) = (parts.len(), digest.leads.len());
    if leads + digest.unreadable.len() + digest.quarantined.len() == 0 {
        letters.push(Letter { entries, leads, message: None });
        return;
    }
    match destination.message(&digest, settings, is_reduced) {
        None if entries > 1 => {
            let (one, other) = parts.split_at(entries / 2);
            write(one, destination, settings, is_reduced, letters);
            write(other, destination, settings, is_reduced, letters);
        }
        message => letters.push(Letter { entries, leads, message }),
    }
}

/// When a channel that failed is tried again: up to a fifth later than its pause, so that destinations that failed together do
/// not come back together.
pub(super) fn with_jitter(time: Timestamp, now: Timestamp, random: u64) -> Timestamp {
    let pause = time.duration_since(now);
    let share = i32::try_from(random % 1_000).unwrap_or_default();
    later(time, pause / 5_000 * share)
}
