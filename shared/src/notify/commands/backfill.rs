//! Sending the leads of a time again, on demand.

use super::Receivers;
use crate::address::{DestinationName, texts};
use crate::destinations::{Destination, Found};
use crate::mail::{
    Digest, MAX_MESSAGE_BYTES, MailError, Mailer, Message, Occasion, Rendered, leads_that_fit, render, render_reduced,
};
use crate::notify::collect::Item;
use crate::notify::deliver::{Effect, Failure, Route, is_about_recipient, letters};
use crate::notify::log::Target;
use crate::notify::routing::DEFAULT_ROUTE;
use crate::notify::run::{Run, SEND, TABLE_CALL};
use crate::notify::{Notifier, NotifyError};
use crate::table::{Query, Table};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The rows of a page.
const PAGE_SIZE: u32 = 500;

/// What was sent.
#[derive(Default)]
struct Done {
    digests: usize,
    mails: usize,
    leads: usize,
    refused: usize,
    /// The destinations that did not take their messages, and the routes whose mails were refused, each with the reason.
    failed: BTreeMap<String, String>,
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Sends the leads again that were written in a time. Nothing is recorded.
    pub(super) async fn backfill(
        &self,
        (since, until): (Timestamp, Timestamp),
        to: Option<Receivers>,
        id: &str,
        deadline: Timestamp,
    ) -> Result<Value, NotifyError> {
        self.know_destinations(to.as_ref()).await?;
        let mut run = self.begin(id, deadline).await?;
        run.people.is_read_only = true;
        let query = Query {
            written_from: Some(since),
            written_before: Some(until),
            page_size: Some(PAGE_SIZE),
            ..Query::default()
        };
        let occasion = Occasion::Backfill { since, until };
        let (mut done, mut items, mut next) = (Done::default(), Vec::new(), None);
        loop {
            if !run.has_time(self.now(), TABLE_CALL) {
                return Err(NotifyError::Incomplete { digests: done.digests, leads: done.leads });
            }
            let page = self.leads.page(&query, next.as_ref()).await?;
            next = page.next;
            items.extend(page.entities.iter().map(Item::of_row));
            while items.len() >= self.settings.digest_size || (next.is_none() && !items.is_empty()) {
                let rest = items.split_off(items.len().min(self.settings.digest_size));
                let part = std::mem::replace(&mut items, rest);
                self.send_again(&mut run, part, to.as_ref(), &occasion, &mut done).await?;
            }
            if next.is_none() {
                break;
            }
        }
        let Done { digests, mails, leads, refused, failed } = done;
        tracing::info!(digests, mails, leads, refused, failed = failed.len(), "backfill sent");
        if !failed.is_empty() {
            let failed = failed.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
            return Err(NotifyError::Undelivered { digests, leads, failed });
        }
        Ok(json!({
            "since": since, "until": until, "leads": leads, "digests": digests, "mails": mails, "refused": refused,
        }))
    }

    /// Sends some items to those who should have them.
    async fn send_again(
        &self,
        run: &mut Run<T>,
        items: Vec<Item>,
        to: Option<&Receivers>,
        occasion: &Occasion,
        done: &mut Done,
    ) -> Result<(), NotifyError> {
        let mut groups: BTreeMap<Target, Vec<Item>> = BTreeMap::new();
        for item in items {
            match to {
                Some(_) if item.lead().is_some_and(|stored| stored.lead.is_validation()) => {}
                Some(Receivers { mail, destinations }) => {
                    let by_mail = (!mail.0.is_empty()).then(DestinationName::mail);
                    for destination in by_mail.into_iter().chain(destinations.iter().cloned()) {
                        let target = Target { route: DEFAULT_ROUTE.to_owned(), destination };
                        groups.entry(target).or_default().push(item.clone());
                    }
                }
                None => {
                    for target in self.targets_of(&item) {
                        groups.entry(target).or_default().push(item.clone());
                    }
                }
            }
        }
        for (target, items) in groups {
            let route = match to {
                // A destination that is named need be none of a route.
                Some(_) if !target.destination.is_mail() => self.destination_of(&target).await,
                _ => self.route_of(&target).await,
            };
            match route {
                Route::Mail => {}
                Route::Elsewhere(destination) => {
                    self.post_again(run, &items, (&target.destination, &destination), occasion, done).await?;
                    continue;
                }
                Route::Blocked(failure) => {
                    done.failed.insert(target.destination.to_string(), failure.reason);
                    continue;
                }
            }
            let recipients = match to {
                Some(to) => texts(&to.mail.0),
                None => self.known_recipients(&run.log, &target).to,
            };
            let digest = self.with_history(run, &items).await;
            let digest = Digest { id: run.ids.next(), occasion: occasion.clone(), ..digest };
            // Halves of halves, until the mail service takes each.
            let mut left = vec![digest];
            while let Some(digest) = left.pop() {
                if !run.has_time(self.now(), SEND) {
                    return Err(NotifyError::Incomplete { digests: done.digests, leads: done.leads });
                }
                match self.send_part(run, digest, &recipients, &mut left, done).await {
                    // It is these recipients who are refused: the others get theirs.
                    Err(NotifyError::Mail(error)) if is_about_recipient(&error) => {
                        done.failed.insert(format!("mail of the route {}", target.route), error.to_string());
                        left.clear();
                    }
                    sent => sent?,
                }
            }
        }
        Ok(())
    }

    /// Refuses names of destinations that are not there.
    async fn know_destinations(&self, to: Option<&Receivers>) -> Result<(), NotifyError> {
        let names = to.map_or(&[][..], |to| &to.destinations);
        let found = self.destinations.find(names, self.now()).await;
        let gone = names.iter().zip(found).find(|(_, found)| *found == Found::Gone);
        match gone {
            Some((name, _)) => Err(NotifyError::State(format!("there is no parameter for the destination {name}"))),
            None => Ok(()),
        }
    }

    /// Sends some items to a destination beside mail: each by itself, and then without its texts, where it refuses several.
    async fn post_again(
        &self,
        run: &mut Run<T>,
        items: &[Item],
        (name, destination): (&DestinationName, &Destination),
        occasion: &Occasion,
        done: &mut Done,
    ) -> Result<(), NotifyError> {
        let settings = self.render_settings();
        let mut left: VecDeque<(&[Item], bool)> = VecDeque::from([(items, false)]);
        while let Some((items, is_reduced)) = left.pop_front()
            && !done.failed.contains_key(name.as_str())
        {
            let digest = self.with_history(run, items).await;
            let digest = Digest { id: run.ids.next(), occasion: occasion.clone(), ..digest };
            let all: Vec<_> = items.iter().cloned().map(Some).collect();
            let mut at = 0;
            for letter in letters(digest, &all, destination, &settings, is_reduced) {
                if !run.has_time(self.now(), SEND) {
                    return Err(NotifyError::Incomplete { digests: done.digests, leads: done.leads });
                }
                let part = &items[at..at + letter.entries];
                at += letter.entries;
                let posted = self.post(destination, std::slice::from_ref(&letter)).await;
                match posted.error {
                    None => {
                        done.digests += posted.posts;
                        done.leads += posted.leads;
                    }
                    Some((Failure { effect: Effect::Message, .. }, _)) if part.len() > 1 => {
                        left.extend(part.chunks(1).map(|one| (one, false)));
                    }
                    Some((Failure { effect: Effect::Message, .. }, _)) if !is_reduced => left.push_back((part, true)),
                    Some((Failure { effect: Effect::Message, .. }, _)) => done.refused += 1,
                    Some((failure, _)) => {
                        done.failed.insert(name.to_string(), failure.reason);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn send_part(
        &self,
        run: &mut Run<T>,
        digest: Digest,
        recipients: &[String],
        left: &mut Vec<Digest>,
        done: &mut Done,
    ) -> Result<(), NotifyError> {
        let settings = self.render_settings();
        let fits = leads_that_fit(&digest.leads) == digest.leads.len();
        let rendered = fits.then(|| render(&digest, &settings)).filter(|mail| mail.size() <= MAX_MESSAGE_BYTES);
        let sent = match &rendered {
            Some(rendered) => Some(self.send_to(run, rendered, recipients, done).await?),
            None => None,
        };
        match sent {
            Some(Ok(mails)) => done.sent(&digest, mails),
            Some(Err(MailError::Message { .. })) | None => match halves(digest, run.ids.next()) {
                Ok((one, other)) => left.extend([other, one]),
                Err(single) => match self.send_to(run, &render_reduced(&single, &settings), recipients, done).await? {
                    Ok(mails) => done.sent(&single, mails),
                    Err(MailError::Message { .. }) => done.refused += 1,
                    Err(error) => return Err(error.into()),
                },
            },
            Some(Err(error)) => return Err(error.into()),
        }
        Ok(())
    }

    /// Sends a mail to all of its recipients: to each alone where the service refuses one of several. Gives how many mails that
    /// took, or why there was none.
    async fn send_to(
        &self,
        run: &Run<T>,
        rendered: &Rendered,
        recipients: &[String],
        done: &Done,
    ) -> Result<Result<usize, MailError>, NotifyError> {
        let mut left: VecDeque<_> = rendered.messages(&self.settings.mail.from.header(), recipients).into();
        let (mut mails, mut refusal) = (0, None);
        while let Some(message) = left.pop_front() {
            if !run.has_time(self.now(), SEND) {
                return Err(NotifyError::Incomplete { digests: done.digests, leads: done.leads });
            }
            match self.mailer.send(&message).await {
                Ok(_) => mails += 1,
                Err(error) if is_about_recipient(&error) => {
                    if message.to.len() > 1 {
                        left.extend(message.to.iter().map(|to| Message { to: vec![to.clone()], ..message.clone() }));
                    }
                    refusal = Some(error);
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        if mails > 0 && refusal.is_some() {
            tracing::error!(accepted = mails, "recipients were left out: the mail service refuses them");
        }
        Ok(refusal.filter(|_| mails == 0).map_or(Ok(mails), Err))
    }
}

impl Done {
    fn sent(&mut self, digest: &Digest, mails: usize) {
        self.digests += 1;
        self.mails += mails;
        self.leads += digest.leads.len();
    }
}

/// A digest in two, the second one with this id; the digest itself where it holds one thing only.
fn halves(mut digest: Digest, id: String) -> Result<(Digest, Digest), Box<Digest>> {
    let others = digest.unreadable.len() + digest.quarantined.len();
    if digest.leads.len() + others <= 1 {
        return Err(Box::new(digest));
    }
    let mut second =
        Digest { id, leads: Vec::new(), unreadable: Vec::new(), quarantined: Vec::new(), ..digest.clone() };
    if others == 0 {
        second.leads = digest.leads.split_off(digest.leads.len() / 2);
    } else if !digest.leads.is_empty() {
        second.unreadable = std::mem::take(&mut digest.unreadable);
        second.quarantined = std::mem::take(&mut digest.quarantined);
    } else if digest.unreadable.is_empty() {
        second.quarantined = digest.quarantined.split_off(digest.quarantined.len() / 2);
    } else {
        second.unreadable = digest.unreadable.split_off(digest.unreadable.len() / 2);
        second.quarantined = std::mem::take(&mut digest.quarantined);
    }
    Ok((digest, second))
}
