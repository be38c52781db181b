//! Deliver: sends what lies beyond each channel's cursor, and moves the cursor. No channel decides about another one: each
//! has its own limit, its own pauses and its own count of failures.

mod channel;
mod pack;
mod select;
mod send;

use super::collect::Item;
use super::log::{Channel, ChannelId, Flight, Parked};
use super::run::{Run, SEND, TABLE_CALL};
use super::times::later;
use super::timing::GROUPED_FOR;
use super::{Notifier, NotifyError};
use crate::mail::{Counts, MailError, Mailer};
use crate::table::Table;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use pack::Parcel;
use send::Sent;
use std::collections::VecDeque;

/// The most channels that send at the same time.
const CHANNELS_AT_ONCE: usize = 4;

/// How long a run spends at most on channels that failed the last time.
const FAILING_SHARE: SignedDuration = SignedDuration::from_secs(60);

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Sends what was just recorded and is still in memory, where a channel has nothing older to send first. Then lets go
    /// of it.
    pub(super) async fn deliver_recent(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        let now = self.now();
        let queue = run.log.channels().filter(|channel| self.is_due(channel, now) && channel.attempts == 0);
        let queue = queue.map(|channel| channel.id.clone()).collect();
        self.send_all(run, queue, Timestamp::MAX, true).await?;
        run.recent.clear();
        Ok(())
    }

    /// Sends what is due: first for the channels that work, then, for a small part of the run, for those that failed the
    /// last time.
    pub(super) async fn deliver(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        let now = self.now();
        let due = run.log.channels().filter(|channel| self.is_due(channel, now));
        let (healthy, failing): (Vec<_>, Vec<_>) = due.partition(|channel| channel.attempts == 0);
        let ids = |channels: Vec<&Channel>| channels.into_iter().map(|channel| channel.id.clone()).collect();
        let (healthy, failing): (VecDeque<_>, VecDeque<_>) = (ids(healthy), ids(failing));
        self.send_all(run, healthy, Timestamp::MAX, false).await?;
        self.send_all(run, failing, later(self.now(), FAILING_SHARE), false).await?;
        run.recent.clear();
        Ok(())
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
                match self.pack(run, &id, recent_only).await {
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
        for parcel in parcels.iter_mut().filter(|parcel| parcel.message.is_some()) {
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
        for parcel in parcels.iter().filter(|parcel| parcel.message.is_some()) {
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
        for (parcel, sent) in parcels.into_iter().zip(sent) {
            run.record.mails += sent.mails;
            let Parcel { mut channel, selection, leads, remaining, id, .. } = parcel;
            let (until, entries) = (&selection.until, &selection.entries);
            match sent.error {
                None if remaining > sent.recipients.len() => {
                    channel.delivered_to(until, &id, sent.recipients);
                    again.push(channel.id.clone());
                }
                None => {
                    channel.accepted(until, entries.len(), self.settings.digest_size);
                    digests += usize::from(sent.mails > 0);
                    mailed += leads;
                    for item in selection.items.iter().flatten() {
                        let Item::Lead(stored) = item else { continue };
                        if let Some(written) = stored.timestamp.filter(|_| !stored.lead.is_test()) {
                            counts.add_delay(now.duration_since(written), 1);
                        }
                    }
                    again.extend(channel.owes().then(|| channel.id.clone()));
                }
                Some(error) => {
                    let reason = error.to_string();
                    tracing::error!(run = run.id, channel = %channel.id, route = channel.target.route, destination = %channel.target.destination, error = reason, "a digest was not sent");
                    if !sent.recipients.is_empty() {
                        channel.delivered_to(until, &id, sent.recipients);
                    }
                    if refuse(&mut channel, &selection, &error, now, &mut parked) {
                        again.push(channel.id.clone());
                    }
                    if !matches!(error, MailError::Message { .. }) {
                        run.record.error.get_or_insert(reason);
                    }
                }
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
            let until = super::log::Position::new(row, index + 1).min(end);
            channel.flight = Some(Flight { until, id: run.ids.next(), done: Vec::new() });
        }
    }
}

/// What a failure means for a channel. Says whether it may go on at once, where it makes sense to ask.
fn refuse(
    channel: &mut Channel,
    selection: &select::Selection,
    error: &MailError,
    now: Timestamp,
    parked: &mut Vec<Parked>,
) -> bool {
    let (until, reason) = (&selection.until, error.to_string());
    match error {
        MailError::Message { .. } => {
            parked.extend(channel.refused(until, &selection.entries, &reason));
            return channel.owes();
        }
        MailError::Destination { .. } => channel.failed(until, false, None, now, &reason),
        MailError::Busy { retry_after, is_quota, .. } => {
            channel.failed(until, false, *retry_after, now, &reason);
            if *is_quota {
                channel.grouped_until = Some(later(now, GROUPED_FOR));
            }
        }
        MailError::Unavailable { may_be_accepted, .. } => channel.failed(until, *may_be_accepted, None, now, &reason),
    }
    false
}
