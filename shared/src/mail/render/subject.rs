//! The subject, and those parts of it that also stand above the leads.

use super::{Group, Writer};
use crate::display;
use crate::mail::digest::Occasion;
use crate::mail::language::{Phrases, fill};

impl Writer<'_> {
    pub(super) fn offer_name(&self, offer: &str, bytes: usize) -> String {
        if offer.is_empty() { self.phrases.lead.no_offer.clone() } else { display::shorten(offer, bytes, 1).0 }
    }

    /// How many leads there are, as a phrase.
    pub(super) fn heading(&self) -> String {
        let phrases = &self.phrases.subject;
        let leads = self.digest.leads.len();
        let unread = self.digest.unreadable.len() + self.digest.quarantined.len();
        match (&self.digest.occasion, leads, unread) {
            (_, 0, 0) => phrases.nothing.clone(),
            (_, 0, unread) => self.settings.language.counted(&phrases.unreadable, unread),
            (Occasion::Backfill { .. }, leads, _) => self.settings.language.counted(&phrases.leads_again, leads),
            (_, leads, _) => self.settings.language.counted(&phrases.leads, leads),
        }
    }

    /// How many of the leads are tests or must not be contacted: `1 test, 2 do not contact`.
    pub(super) fn flags(&self) -> String {
        let Phrases { subject, comma, .. } = self.phrases;
        let leads = &self.digest.leads;
        let all = leads.len();
        let tests = leads.iter().filter(|lead| lead.stored.lead.is_test()).count();
        let do_not_contact = leads.iter().filter(|lead| lead.stored.lead.is_do_not_contact()).count();
        let flags: Vec<_> = [(tests, &subject.test), (do_not_contact, &subject.do_not_contact)]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| {
                if count == all {
                    what.clone()
                } else {
                    fill(&subject.some, &[("count", &count.to_string()), ("what", what)])
                }
            })
            .collect();
        flags.join(comma)
    }

    /// The subject: `3 new leads: Contoso Backup (2), Contoso VM`.
    pub(super) fn subject(&self, heading: &str, groups: &[Group<'_>]) -> String {
        /// Lists of mails show little more of a subject.
        const MAX_OFFERS_BYTES: usize = 110;
        let Phrases { subject: phrases, brackets, comma, colon, semicolon, .. } = self.phrases;
        let mut subject = heading.to_owned();
        let flags = self.flags();
        if !flags.is_empty() {
            subject += &fill(brackets, &[("text", &flags)]);
        }
        let mut offers = String::new();
        for (number, group) in groups.iter().enumerate() {
            let mut offer = self.offer_name(&group.offer, 60);
            if group.leads.len() > 1 {
                offer += &fill(brackets, &[("text", &group.leads.len().to_string())]);
            }
            if number > 0 {
                offers += comma;
                if offers.len() + offer.len() > MAX_OFFERS_BYTES {
                    offers += &self.settings.language.counted(&phrases.more_offers, groups.len() - number);
                    break;
                }
            }
            offers += &offer;
        }
        if !offers.is_empty() {
            subject += colon;
            subject += &offers;
        }
        let unread = self.digest.unreadable.len() + self.digest.quarantined.len();
        if unread > 0 && !self.digest.leads.is_empty() {
            subject += semicolon;
            subject += &self.settings.language.counted(&phrases.unreadable, unread);
        }
        match self.digest.occasion {
            Occasion::MaybeRepeated => fill(&phrases.maybe_repeated, &[("subject", &subject)]),
            Occasion::New | Occasion::Backfill { .. } => subject,
        }
    }
}
