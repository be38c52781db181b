//! A channel's next mail, ready to be sent.

use super::failure::Failure;
use super::letters::{Letters, Route, letters};
use super::recipients::Recipients;
use super::select::{Read, Selection};
use crate::bug::caught;
use crate::destinations::Destination;
use crate::mail::{
    Digest, DigestLead, MAX_MESSAGE_BYTES, MAX_RECIPIENTS, Mailer, Message, Occasion, Rendered, leads_that_fit, render,
    render_reduced,
};
use crate::notify::collect::Item;
use crate::notify::log::{Channel, ChannelId, Entry, MAX_KEY_UNITS, Position, log_key};
use crate::notify::run::{Run, SEND, TABLE_CALL};
use crate::notify::{Notifier, NotifyError};
use crate::table::Table;
use sha2::{Digest as _, Sha256};

/// A channel's next mail.
pub(super) struct Parcel {
    /// The channel, as it is once the mail is announced.
    pub(super) channel: Channel,
    pub(super) selection: Selection,
    /// Leads in it.
    pub(super) leads: usize,
    /// The digest's id.
    pub(super) id: String,
    pub(super) cargo: Cargo,
    /// How many recipients of a mail do not have it yet.
    pub(super) remaining: usize,
}

/// What is sent.
pub(super) enum Cargo {
    /// Everything in it was erased, so that there is nothing to send.
    Nothing,
    /// A mail.
    Mail(Message),
    /// Messages to a destination that is no mailbox.
    Letters(Box<Destination>, Letters),
    /// It cannot be sent now.
    Blocked(Failure),
}

impl Cargo {
    /// Whether a request is made for it.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self, Self::Mail(_) | Self::Letters(..))
    }
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Makes a channel's next mail. `None` where there is none to be sent now.
    pub(super) async fn pack(
        &self,
        run: &mut Run<T>,
        id: &ChannelId,
        recent_only: bool,
    ) -> Result<Option<Parcel>, NotifyError> {
        let (channel, selection) = loop {
            let Some(mut channel) = run.log.channel(id).filter(|channel| channel.owes()).cloned() else {
                return Ok(None);
            };
            if !run.log.is_unbegun(id) {
                channel.doubt();
            }
            let Some(mut selection) = self.select(run, &channel, recent_only).await? else {
                run.is_stopped |= !recent_only;
                return Ok(None);
            };
            // There is none where a part of the log was looked through in which nothing is owed to it.
            let first = selection.entries.get(..1).unwrap_or_default();
            if channel.is_in_the_way() && self.put_off(run, channel.clone(), first).await? {
                continue;
            }
            // A mail of which some recipients have their part is the same for the others.
            let has_parts = channel.flight.as_ref().is_some_and(|flight| !flight.done.is_empty());
            match self.read_items(run, &mut selection, has_parts).await? {
                Read::Items => break (channel, selection),
                Read::OutOfTime => {
                    run.is_stopped = true;
                    return Ok(None);
                }
                Read::Unreadable(count, reason) => {
                    // Other rows must be readable.
                    if !run.has_read || !self.put_off(run, channel, &selection.entries[..count]).await? {
                        return Err(reason);
                    }
                    run.failed("deliver", &reason);
                }
            }
        };
        let mut selection = selection;
        let id = match &channel.flight {
            Some(flight) => flight.id.clone(),
            None => run.ids.next(),
        };
        if selection.items.iter().all(Option::is_none) {
            return Ok(Some(Parcel { channel, selection, leads: 0, id, cargo: Cargo::Nothing, remaining: 0 }));
        }
        let occasion = if channel.cursor < channel.maybe { Occasion::MaybeRepeated } else { Occasion::New };
        let items: Vec<_> = selection.items.iter().flatten().cloned().collect();
        let route = self.route_of(&channel.target).await;
        if let Route::Blocked(failure) = route {
            return Ok(Some(Parcel { channel, selection, leads: 0, id, cargo: Cargo::Blocked(failure), remaining: 0 }));
        }
        let recipients = match route {
            Route::Mail => self.recipients(run, &channel.target).await,
            Route::Elsewhere(_) | Route::Blocked(_) => Recipients { to: Vec::new(), is_redirected: false },
        };
        let Recipients { to: mut recipients, is_redirected } = recipients;
        let more = channel.owed.saturating_sub(selection.entries.len());
        let digest = Digest { id: id.clone(), occasion, is_redirected, more, ..self.with_history(run, &items).await };
        if let Route::Elsewhere(destination) = route {
            let leads = digest.leads.len();
            let (settings, items) = (self.render_settings(), &selection.items);
            let letters = caught(|| match channel.is_probing() && items.iter().flatten().count() > 1 {
                true => Letters::probing(digest, items, &destination, &settings),
                false => Letters::InOrder(letters(digest, items, &destination, &settings, channel.is_reduced)),
            });
            let cargo = match letters {
                Ok(letters) => Cargo::Letters(destination, letters),
                Err(bug) => Cargo::Blocked(bug.into()),
            };
            return Ok(Some(Parcel { channel, selection, leads, id, cargo, remaining: 0 }));
        }
        let (rendered, leads) = match caught(|| self.fit(digest, &channel, &mut selection)) {
            Ok(fitting) => fitting,
            Err(bug) => {
                let cargo = Cargo::Blocked(bug.into());
                return Ok(Some(Parcel { channel, selection, leads: 0, id, cargo, remaining: 0 }));
            }
        };
        let done: &[String] = channel.flight.as_ref().map_or(&[], |flight| &flight.done);
        recipients.retain(|to| !done.contains(&recipient_hash(to)));
        let first = &recipients[..recipients.len().min(MAX_RECIPIENTS)];
        let message = rendered.messages(&self.settings.mail.from.header(), first).into_iter().next();
        let remaining = recipients.len();
        let cargo = message.map_or(Cargo::Nothing, Cargo::Mail);
        Ok(Some(Parcel { channel, selection, leads, id, cargo, remaining }))
    }

    /// Puts off the first entries that a channel owes and that cannot be read or are refused, so that what is behind them goes
    /// out: they are owed again from the end of the log on, once in each run at most. Says whether that was done: there must
    /// be something behind them.
    async fn put_off(
        &self,
        run: &mut Run<T>,
        mut channel: Channel,
        entries: &[(Position, Entry)],
    ) -> Result<bool, NotifyError> {
        let began = log_key(run.started);
        let mut units = 0;
        let old = entries.iter().take_while(|(at, entry)| {
            units += entry.units();
            at.row < began && units < MAX_KEY_UNITS
        });
        let old: Vec<_> = old.cloned().collect();
        let Some((last, _)) = old.last() else { return Ok(false) };
        let until = Position::new(&last.row, last.index + 1);
        if until >= channel.tail || !run.has_time(self.now(), TABLE_CALL) {
            return Ok(false);
        }
        let count = old.len();
        tracing::error!(run = run.id, channel = %channel.id, count, "leads that cannot be read or are refused now are put off");
        let row = run.log.next_row();
        channel.put_off(&until, count, &row);
        run.log.put_off(channel, &row, old.into_iter().map(|(_, entry)| entry).collect()).await?;
        Ok(true)
    }

    /// A digest without id of these items, each lead with its person's history. Where the contact index fails, the leads go
    /// out without a history: they are worth more than it.
    pub(in crate::notify) async fn with_history(&self, run: &mut Run<T>, items: &[Item]) -> Digest {
        let leads = || items.iter().filter_map(Item::lead);
        let window = crate::notify::times::span(self.settings.contact_window);
        let (clock, latest) = (self.clock.clone(), run.latest(SEND + TABLE_CALL * 2));
        let may_go_on = move || clock() <= latest;
        let noted = run.people.note(&self.state, leads(), window, run.started, &may_go_on).await;
        if let Err(error) = noted {
            run.failed("contacts", &error);
        }
        digest_of(items, |stored| run.people.history(stored, window))
    }

    /// Writes the mail, of fewer leads where it would be too large, and without their texts where one alone is. Gives it
    /// with the number of its leads.
    fn fit(&self, mut digest: Digest, channel: &Channel, selection: &mut Selection) -> (Rendered, usize) {
        let settings = self.render_settings();
        // A mail of which some recipients have their part is the same for the others.
        let has_parts = channel.flight.as_ref().is_some_and(|flight| !flight.done.is_empty());
        // What was refused with its texts goes out without them.
        if channel.is_reduced {
            return (render_reduced(&digest, &settings), digest.leads.len());
        }
        loop {
            if leads_that_fit(&digest.leads) == digest.leads.len() {
                let rendered = render(&digest, &settings);
                if rendered.size() <= MAX_MESSAGE_BYTES {
                    return (rendered, digest.leads.len());
                }
            }
            let count = selection.entries.len();
            if count <= 1 || has_parts {
                break;
            }
            selection.cut(count / 2);
            digest.more = channel.owed.saturating_sub(selection.entries.len());
            let kept = digest_of(selection.items.iter().flatten(), |_| Vec::new());
            digest.leads.truncate(kept.leads.len());
            digest.unreadable.truncate(kept.unreadable.len());
            digest.quarantined.truncate(kept.quarantined.len());
        }
        (render_reduced(&digest, &settings), digest.leads.len())
    }
}

/// Sorts items into a digest without id.
pub(in crate::notify) fn digest_of<'a>(
    items: impl IntoIterator<Item = &'a Item>,
    mut history: impl FnMut(&crate::lead::StoredLead) -> Vec<crate::mail::PastAction>,
) -> Digest {
    let (leads, unreadable, quarantined) = (Vec::new(), Vec::new(), Vec::new());
    let mut digest = Digest {
        id: String::new(),
        occasion: Occasion::New,
        is_redirected: false,
        more: 0,
        leads,
        unreadable,
        quarantined,
    };
    for item in items {
        match item {
            Item::Lead(stored) => {
                digest.leads.push(DigestLead { stored: (**stored).clone(), history: history(stored) });
            }
            Item::Unreadable(row) => digest.unreadable.push(row.clone()),
            Item::Quarantined(body) => digest.quarantined.push(body.clone()),
        }
    }
    digest
}

/// By what a recipient is remembered who has a mail already: the first 64 bits of the address's SHA-256.
pub(super) fn recipient_hash(address: &str) -> String {
    let hash = Sha256::digest(address.to_lowercase());
    hex::encode(&hash[..8])
}
