//! Deliver: sends what lies beyond each channel's cursor, and moves the cursor. No channel decides about another one: each
//! has its own limit, its own pauses and its own count of failures.

mod channel;
mod failure;
mod letters;
mod operator;
mod pack;
mod recipients;
mod select;
mod send;

use super::collect::Item;
use super::log::{Channel, ChannelId, Entry, Flight, Parked, Position, Target};
use super::run::{Run, SEND, TABLE_CALL};
use super::times::{later, span};
use super::timing::GROUPED_FOR;
use super::{Notifier, NotifyError};
use crate::bug::caught_while;
use crate::mail::{Counts, Mailer};
use crate::settings::MAX_CHANNELS;
use crate::table::Table;
pub(crate) use failure::{Effect, Failure};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use letters::{Posted, with_jitter};
pub(super) use letters::{Route, letters};
use pack::Parcel;
pub(super) use recipients::Questions;
use select::Selection;
use send::Sent;
pub(super) use send::is_about_recipient;
use std::collections::VecDeque;

/// The most channels that send at the same time.
const CHANNELS_AT_ONCE: usize = 4;

/// How much of the time for sending mail has first, where there are other destinations, or such as failed: two parts of three.
const MAIL_SHARE: (i32, i32) = (2, 3);

/// How long a run spends at most on channels that failed the last time.
const FAILING_SHARE: SignedDuration = SignedDuration::from_secs(60);

/// How long a run sends at least to destinations that are no mailboxes, however long everything before them took: one round.
const LEAST_SHARE: SignedDuration = SignedDuration::from_secs(5);

/// The most leads that one channel gives up at a time: a batch has room for so many of each channel in a round.
const MOST_EXPIRED: usize = MAX_CHANNELS / CHANNELS_AT_ONCE;

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Sends what was just recorded and is still in memory, where a channel has nothing older to send first. Then lets go
    /// of it. In the middle of a reading, only mail is sent: no other destination slows the reading down.
    pub(super) async fn deliver_recent(&self, run: &mut Run<T>, is_reading: bool) -> Result<(), NotifyError> {
        let now = self.now();
        let due = run.log.channels().filter(|channel| self.is_due(channel, now) && channel.attempts == 0);
        let (mail, others): (Vec<_>, Vec<_>) = due.partition(|channel| channel.target.destination.is_mail());
        let (mail, others) = (ids(mail), ids(others));
        self.send_all(run, mail, Timestamp::MAX, true).await?;
        if !is_reading {
            let until = self.others_until(run);
            self.send_all(run, others, until, true).await?;
        }
        run.recent.clear();
        Ok(())
    }

    /// Sends what is due: first for the channels that work, then, for a small part of the run, for those that failed the
    /// last time.
    pub(super) async fn deliver(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        let now = self.now();
        let due = run.log.channels().filter(|channel| self.is_due(channel, now));
        let (healthy, mut failing): (Vec<_>, Vec<_>) = due.partition(|channel| channel.attempts == 0);
        // Mail first, then those that have waited longest: where time is short, each has its turn in some run.
        failing.sort_by_key(|channel| (!channel.target.destination.is_mail(), channel.next_attempt));
        // A mail waits for no other destination: a slow one holds up the round that it is in.
        let (mail, others): (Vec<_>, Vec<_>) =
            healthy.into_iter().partition(|channel| channel.target.destination.is_mail());
        let (mut mail, mut others, failing) = (ids(mail), ids(others), ids(failing));
        // Each run begins with others, so that those that are slow keep nobody from a turn.
        for queue in [&mut mail, &mut others] {
            let turn = (self.chance)() % u64::try_from(queue.len()).unwrap_or(1).max(1);
            queue.rotate_left(turn.try_into().unwrap_or_default());
        }
        // A backlog of mails leaves time for the others, and gets what they leave.
        let mail_until = match others.len() + failing.len() {
            0 => Timestamp::MAX,
            _ => later(now, now.duration_until(run.latest(SEND + TABLE_CALL * 3)) / MAIL_SHARE.1 * MAIL_SHARE.0),
        };
        self.send_all(run, mail.clone(), mail_until, false).await?;
        // Where it took all of its share, the next run is late anyway, and the others have what is left.
        let until = match self.now() >= mail_until {
            true => Timestamp::MAX,
            false => self.others_until(run).max(later(self.now(), LEAST_SHARE)),
        };
        self.send_all(run, others, until, false).await?;
        // The next run is to find the lease free.
        let share = FAILING_SHARE.min(span(self.settings.schedule.interval) / 2);
        self.send_all(run, failing, later(self.now(), share), false).await?;
        let is_left = |id: &ChannelId| run.log.channel(id).is_some_and(|channel| self.is_due(channel, self.now()));
        mail.retain(is_left);
        self.send_all(run, mail, Timestamp::MAX, false).await?;
        let failed = std::mem::take(&mut run.failed_channels);
        self.tell_operator(run, failed).await?;
        self.tell_of_recipients(run).await?;
        run.recent.clear();
        Ok(())
    }

    /// Until when destinations that are no mailboxes are sent to: the next run, and with it the next mail, waits for none that
    /// takes long to accept what it is sent.
    fn others_until(&self, run: &Run<T>) -> Timestamp {
        later(run.started, span(self.settings.schedule.interval) / 2)
    }

    /// Lets channels send in rounds, four at a time, until they owe nothing, fail, or time is up.
    async fn send_all(
        &self,
        run: &mut Run<T>,
        mut queue: VecDeque<ChannelId>,
        until: Timestamp,
        recent_only: bool,
    ) -> Result<(), NotifyError> {
        while !queue.is_empty() {
            let mut parcels: Vec<Parcel> = Vec::new();
            while parcels.len() < CHANNELS_AT_ONCE
                && let Some(id) = queue.pop_front()
            {
                let now = self.now();
                if now >= until || !run.has_time(now, SEND + TABLE_CALL * 3) {
                    run.is_stopped |= now < until && !recent_only;
                    queue.clear();
                    break;
                }
                // A bug that only one channel meets stops no other one.
                match caught_while(self.pack(run, &id, recent_only)).await.unwrap_or_else(|bug| Err(bug.into())) {
                    Ok(parcel) => parcels.extend(parcel),
                    Err(error) if error.ends_run() => return Err(error),
                    Err(error) => run.failed("deliver", &error),
                }
            }
            if parcels.is_empty() {
                continue;
            }
            self.announce(run, &mut parcels).await?;
            run.log.keep_lease(SEND).await?;
            if !run.has_time(self.now(), SEND) {
                run.is_stopped = true;
                return Ok(());
            }
            let deadline = run.deadline;
            let sends: Vec<_> = parcels.iter().map(|parcel| self.send(parcel, deadline)).collect();
            let sent = join_all(sends).await;
            let again = self.note(run, parcels, sent).await?;
            queue.extend(again);
        }
        Ok(())
    }

    /// Writes down what is about to go out, where this run has not done so already: without it, a repeat could not be told
    /// from a first mail.
    async fn announce(&self, run: &mut Run<T>, parcels: &mut [Parcel]) -> Result<(), NotifyError> {
        let mut channels = Vec::new();
        for parcel in parcels.iter_mut().filter(|parcel| parcel.cargo.is_sent()) {
            let channel = &mut parcel.channel;
            let is_written = run.log.is_held()
                && run.log.channel(&channel.id).is_some_and(|known| known == channel)
                && channel.flight.as_ref().is_some_and(|flight| flight.until >= parcel.selection.until);
            if !is_written {
                let done = channel.flight.take().map(|flight| flight.done).unwrap_or_default();
                let until = parcel.selection.until.clone();
                channel.flight = Some(Flight { until, id: parcel.id.clone(), done });
                channels.push(channel.clone());
            }
        }
        if !channels.is_empty() {
            run.log.deliver(channels, &[], &None).await?;
        }
        for parcel in parcels.iter().filter(|parcel| parcel.cargo.is_sent()) {
            run.log.begin_flight(&parcel.channel.id);
        }
        Ok(())
    }

    /// Notes what became of a round's mails in one batch, together with what each channel sends next. Gives the channels
    /// that may go on at once.
    async fn note(
        &self,
        run: &mut Run<T>,
        parcels: Vec<Parcel>,
        sent: Vec<Sent>,
    ) -> Result<Vec<ChannelId>, NotifyError> {
        let now = self.now();
        let (mut channels, mut parked, mut again) = (Vec::new(), Vec::new(), Vec::new());
        let (mut digests, mut mailed) = (0, 0);
        let mut counts = Counts::default();
        for (parcel, mut sent) in parcels.into_iter().zip(sent) {
            run.record.mails += sent.mails;
            let Parcel { mut channel, mut selection, leads, remaining, id, .. } = parcel;
            let failure = sent.posted.as_mut().and_then(|posted| posted.first.take());
            if let Some(failure) = &failure {
                selection.items.remove(0);
                let first = selection.entries.remove(0);
                let until = selection.entries.first().map(|(at, _)| Position::new(&at.row, at.index + 1));
                let until = until.unwrap_or_else(|| selection.until.clone());
                parked.extend(self.pass_by(run, &mut channel, first, failure, &until).await?);
            }
            let (until, entries) = (&selection.until, &selection.entries);
            let spread = (self.chance)();
            match sent.error {
                None if let Some(mut posted) = sent.posted => {
                    posted.error = posted.error.map(|(failure, count)| {
                        let end = (posted.entries + count).min(entries.len());
                        (channel.judged(failure, &entries[posted.entries.min(end)..end]), count)
                    });
                    digests += usize::from(posted.posts > 0);
                    mailed += posted.leads;
                    count_delays(&mut counts, &selection.items[..posted.entries.min(selection.items.len())], now);
                    if let Some((failure, _)) = &posted.error {
                        note_failure(run, &channel, failure);
                    }
                    // What was accepted instead of the first lead is noted already.
                    let is_noted = failure.is_some();
                    let posted = if is_noted { Posted { entries: 0, ..posted } } else { posted };
                    if self.note_posted(&mut channel, &selection, posted, (now, spread), &mut parked) {
                        again.push(channel.id.clone());
                    }
                }
                None if remaining > sent.recipients.len() => {
                    channel.delivered_to(until, &id, sent.recipients);
                    again.push(channel.id.clone());
                }
                // A part of the log was looked through in which nothing is owed to it.
                None if entries.is_empty() => {
                    channel.looked_through(until);
                    again.extend(channel.owes().then(|| channel.id.clone()));
                }
                None => {
                    channel.accepted(until, entries.len(), self.settings.digest_size);
                    digests += usize::from(sent.mails > 0);
                    mailed += leads;
                    count_delays(&mut counts, &selection.items, now);
                    self.measure(run, &channel.target, &selection, now);
                    again.extend(channel.owes().then(|| channel.id.clone()));
                }
                Some(failure) => {
                    let failure = channel.judged(failure, entries);
                    note_failure(run, &channel, &failure);
                    if !sent.recipients.is_empty() {
                        channel.delivered_to(until, &id, sent.recipients);
                    }
                    if refuse(&mut channel, (until, entries), &failure, (now, spread), &mut parked) {
                        again.push(channel.id.clone());
                    }
                    // A run that sends no mail has failed. A destination beside mail is an affair of its own.
                    if failure.effect != Effect::Message && channel.target.destination.is_mail() {
                        run.record.error.get_or_insert(failure.reason);
                    }
                }
            }
            if channel.attempts > 0 && !channel.target.destination.is_mail() {
                // What a dead destination is owed is kept as long as everything else. Mail waits for ever.
                let reason = channel.reason.clone().unwrap_or_default();
                let left = entries.iter().position(|(at, _)| *at >= channel.cursor).unwrap_or(entries.len());
                parked.extend(channel.expire(&entries[left..], self.kept_from(now), MOST_EXPIRED, &reason));
            }
            self.plan(run, &mut channel, &again);
            channels.push(channel);
        }
        for Parked { channel, reason, .. } in &parked {
            tracing::error!(run = run.id, channel = %channel, reason, "a lead was given up: `outbox` names it");
        }
        counts.parked = parked.len().try_into().unwrap_or(u64::MAX);
        run.log.deliver(channels, &parked, &Some((self.today(), counts))).await?;
        run.record.digests += digests;
        run.record.mailed += mailed;
        run.record.parked += parked.len();
        Ok(again)
    }

    /// Measures how long the leads of an accepted mail took that were to go out at once.
    fn measure(&self, run: &mut Run<T>, target: &Target, selection: &Selection, now: Timestamp) {
        for ((at, _), item) in selection.entries.iter().zip(&selection.items) {
            let Some(stored) = item.as_ref().and_then(Item::lead).filter(|stored| !stored.lead.is_test()) else {
                continue;
            };
            let (Some(written), Some(recorded)) = (stored.timestamp, at.time()) else { continue };
            if self.goes_at_once(&stored.lead, target, recorded) {
                run.record.delays.add(now.duration_since(written));
            }
        }
    }

    /// Notes how far the messages to a destination that is no mailbox came. Says whether the channel may go on at once.
    fn note_posted(
        &self,
        channel: &mut Channel,
        selection: &Selection,
        posted: Posted,
        time: (Timestamp, u64),
        parked: &mut Vec<Parked>,
    ) -> bool {
        let entries = &selection.entries;
        let behind = |count: usize| match entries[..count].last() {
            Some((last, _)) if count < entries.len() => Position::new(&last.row, last.index + 1),
            _ => selection.until.clone(),
        };
        let done = posted.entries.min(entries.len());
        if done > 0 {
            channel.accepted(&behind(done), done, self.settings.digest_size);
        }
        let Some((failure, count)) = posted.error else { return channel.owes() };
        let end = (done + count).min(entries.len());
        refuse(channel, (&behind(end), &entries[done..end]), &failure, time, parked)
    }

    /// Plans the next mail of a channel that goes on, so that the batch which notes this one announces the next one, too.
    fn plan(&self, run: &mut Run<T>, channel: &mut Channel, again: &[ChannelId]) {
        if !again.contains(&channel.id) || channel.flight.is_some() {
            return;
        }
        let Some(rows) = run.recent.rows_from(&channel.cursor.row) else { return };
        let size = channel.size(self.settings.digest_size);
        let end = if channel.cursor < channel.maybe {
            channel.maybe.clone().min(channel.tail.clone())
        } else {
            channel.tail.clone()
        };
        let places = rows
            .into_iter()
            .flat_map(|row| row.owed(&channel.id, &channel.cursor).map(|index| (row.key.clone(), index)));
        let last = places.take(size).last();
        if let Some((row, index)) = last {
            let until = Position::new(row, index + 1).min(end);
            channel.flight = Some(Flight { until, id: run.ids.next(), done: Vec::new() });
        }
    }
}

fn ids(channels: Vec<&Channel>) -> VecDeque<ChannelId> {
    channels.into_iter().map(|channel| channel.id.clone()).collect()
}

/// Logs a failure, and remembers whose it was until the operator is told.
fn note_failure<T>(run: &mut Run<T>, channel: &Channel, failure: &Failure) {
    let Target { route, destination } = &channel.target;
    tracing::error!(run = run.id, channel = %channel.id, route, destination = %destination, error = failure.reason, "a digest was not sent");
    if failure.effect != Effect::Message {
        // A long run can try a channel again.
        run.failed_channels.retain(|(id, _)| *id != channel.id);
        run.failed_channels.push((channel.id.clone(), failure.effect));
    }
}

/// What a failure means for a channel: what was to go out until this place holds these entries. Says whether the channel may
/// go on at once, where it makes sense to ask.
fn refuse(
    channel: &mut Channel,
    (until, entries): (&Position, &[(Position, Entry)]),
    Failure { effect, reason }: &Failure,
    (now, spread): (Timestamp, u64),
    parked: &mut Vec<Parked>,
) -> bool {
    match effect {
        Effect::Message => {
            parked.extend(channel.refused(until, entries, reason));
            return channel.owes();
        }
        Effect::Destination => channel.failed(until, false, None, now, reason),
        Effect::Later { asked, may_be_accepted, is_quota } => {
            channel.failed(until, *may_be_accepted, *asked, now, reason);
            if *is_quota {
                channel.grouped_until = Some(later(now, GROUPED_FOR));
            }
        }
    }
    if !channel.target.destination.is_mail() {
        channel.next_attempt = channel.next_attempt.map(|next| with_jitter(next, now, spread));
    }
    false
}

/// Counts how long ago these leads were written, now that a destination has them.
fn count_delays(counts: &mut Counts, items: &[Option<Item>], now: Timestamp) {
    for stored in items.iter().flatten().filter_map(Item::lead).filter(|stored| !stored.lead.is_test()) {
        if let Some(written) = stored.timestamp {
            counts.add_delay(now.duration_since(written), 1);
        }
    }
}
