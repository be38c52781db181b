//! What is shown of each lead.

use super::Writer;
use super::detail::{Cut, Detail};
use super::view::{EmailView, LeadView, PhoneView, TableView};
use crate::display;
use crate::lead::{Action, Lead, ShownTime, UnknownField, plausible};
use crate::mail::digest::{DigestLead, PastAction};
use crate::mail::language::{ActionPhrases, Phrases, fill};
use crate::mail::links::{Address, phone_link};
use jiff::Timestamp;
use std::borrow::Cow;

impl Writer<'_> {
    pub(super) fn lead(&self, digest_lead: &DigestLead, offer: &str, detail: Detail) -> LeadView {
        let DigestLead { stored, history } = digest_lead;
        let lead = &stored.lead;
        let customer = &lead.customer;
        let phrases = &self.phrases.lead;
        let mut cut = Cut::to_detail(detail);
        let linked = may_be_contacted(lead);

        let email = Some(cut.field(&customer.email)).filter(|text| !text.is_empty());
        let phone = Some(cut.field(&customer.phone)).filter(|text| !text.is_empty() && !detail.terse);
        let about: Vec<_> = [&customer.title, &customer.company, &customer.country]
            .into_iter()
            .map(|text| cut.field(text))
            .filter(|text| !text.is_empty() && !detail.terse)
            .collect();
        let name = match cut.field(&customer.name()) {
            name if !name.is_empty() => name,
            _ => phrases.nameless.clone(),
        };

        let mut tables = Vec::new();
        let mut note = Vec::new();
        match lead.campaign() {
            Some(parameters) => tables.push((&phrases.campaign, parameters)),
            None => note = cut.block(&lead.description),
        }
        let text = |field: &UnknownField| (field.name.clone(), field.text());
        tables.push((&phrases.further, customer.unknown.iter().chain(&lead.unknown).map(text).collect()));
        let tables = tables
            .into_iter()
            .map(|(heading, rows)| TableView { heading: heading.clone(), rows: cut.table(&rows) })
            .filter(|table| !table.rows.is_empty())
            .collect();

        let is_withheld = lead.is_withheld();
        let badges = [
            (lead.is_test(), &phrases.test),
            (stored.same_request.is_some(), &phrases.same_request),
            (!history.is_empty(), &phrases.earlier_actions),
            (is_withheld, &phrases.withheld),
        ];
        let address = Address::of(&customer.email);
        let source = lead.source();
        LeadView {
            name,
            about,
            do_not_contact: lead.is_do_not_contact(),
            test: lead.is_test(),
            withheld: is_withheld,
            badges: badges.into_iter().filter(|(is, _)| *is).map(|(_, badge)| badge.clone()).collect(),
            email: email.map(|text| EmailView {
                text,
                link: address.link.filter(|link| linked && link.len() <= 2 * detail.field),
                domain: address
                    .ascii_domain
                    .filter(|_| !detail.terse)
                    .map(|domain| fill(&phrases.domain, &[("domain", &display::shorten(&domain, detail.field, 1).0)])),
            }),
            phone: phone
                .map(|text| PhoneView { text, link: phone_link(&customer.phone).filter(|_| linked && !detail.brief) }),
            action: cut.field(&words(&lead.action(), &self.phrases.action)),
            marketplace: cut.field(source.marketplace.name()),
            time: match stored.shown_time() {
                ShownTime::AsItCame(text) => cut.field(text),
                time => self.known_time(time),
            },
            note,
            tables,
            earlier_actions: (!history.is_empty()).then(|| self.earlier_actions(history, stored.time(), offer, detail)),
            same_request: stored.same_request.map(|time| self.same_request(lead, time)),
            row: cut.row(&stored.keys),
            shortened: cut.shortened,
        }
    }

    /// When the same request came at another time, and whether it may be of another customer.
    fn same_request(&self, lead: &Lead, time: Timestamp) -> String {
        let phrases = &self.phrases.lead;
        let phrase =
            if lead.names_a_person() { &phrases.same_request_when } else { &phrases.same_request_without_person };
        fill(phrase, &[("time", &self.time(Some(time)))])
    }

    /// What a person did before: `Third action in 180 days: installed on 3 Nov, test drive on 9 Nov`.
    fn earlier_actions(&self, history: &[PastAction], time: Option<Timestamp>, offer: &str, detail: Detail) -> String {
        let Phrases { earlier_actions: phrases, past_action, comma, brackets, .. } = self.phrases;
        let (language, zone) = (self.settings.language, &self.settings.time_zone);
        let year = time.map_or(i16::MIN, |time| time.to_zoned(zone.clone()).year());
        let mut actions: Vec<_> = history
            .iter()
            .take(detail.history)
            .map(|past| {
                let action = words(&Action::parse(&past.action_code), past_action);
                let action = display::shorten(&display::line(&action), detail.field, 1).0;
                let date = plausible(past.time).map(|time| time.to_zoned(zone.clone()).date());
                let past_offer = Some(display::line(&past.offer)).filter(|past| !past.is_empty() && past != offer);
                let past_offer = past_offer.map(|past| display::shorten(&past, detail.field, 1).0);
                match (date.map(|date| language.date(date, year)), past_offer) {
                    (Some(date), Some(offer)) => {
                        fill(&phrases.past_other_offer, &[("action", &action), ("date", &date), ("offer", &offer)])
                    }
                    (Some(date), None) => fill(&phrases.past, &[("action", &action), ("date", &date)]),
                    (None, Some(offer)) => action + &fill(brackets, &[("text", &offer)]),
                    (None, None) => action,
                }
            })
            .collect();
        if history.len() > actions.len() {
            actions.push(language.counted(&phrases.earlier, history.len() - actions.len()));
        }
        // The oldest action comes first.
        actions.reverse();
        let actions = actions.join(comma);
        let days = usize::try_from(self.settings.contact_window_days).unwrap_or(usize::MAX);
        match phrases.ordinals.get(history.len()) {
            Some(ordinal) => {
                language.counted_with(&phrases.within, days, &[("ordinal", ordinal), ("actions", &actions)])
            }
            None => {
                let number = (history.len() + 1).to_string();
                language.counted_with(&phrases.beyond, days, &[("number", &number), ("actions", &actions)])
            }
        }
    }
}

/// Whether the customer of a lead is a person to whom one may write.
pub(super) fn may_be_contacted(lead: &Lead) -> bool {
    !lead.is_do_not_contact() && !lead.is_test()
}

/// An action in words.
pub(in crate::mail) fn words<'a>(action: &Action, phrases: &'a ActionPhrases) -> Cow<'a, str> {
    Cow::Borrowed(match action {
        Action::Install => &phrases.install,
        Action::ContactMe => &phrases.contact_me,
        Action::Create => &phrases.create,
        Action::StartTestDrive => &phrases.start_test_drive,
        Action::DoNotContact => &phrases.do_not_contact,
        Action::Other(code) if code.is_empty() => &phrases.none,
        Action::Other(code) => return Cow::Owned(fill(&phrases.other, &[("code", code)])),
    })
}
