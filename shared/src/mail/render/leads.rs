//! What is shown of each lead.

use super::Writer;
use super::detail::{Cut, Detail};
use super::view::{EmailView, LeadView, PhoneView, TableView};
use crate::display;
use crate::lead::{Action, Customer, Lead, ShownTime, UnknownField, plausible};
use crate::mail::digest::{DigestLead, Occasion, PastAction};
use crate::mail::language::{ActionPhrases, Phrases, fill};
use crate::mail::links::{Address, percent_encode, phone_link};
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
        let about: Vec<_> =
            [customer.title.as_str(), &customer.company, self.settings.language.country(&customer.country)]
                .into_iter()
                .map(|text| cut.field(text))
                .filter(|text| !text.is_empty() && !detail.terse)
                .collect();
        let name = match cut.field(&full_name(customer)) {
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
        let is_linked = linked && address.link.is_some();
        let crm = self.settings.crm_search.as_ref().filter(|_| is_linked && !detail.brief);
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
                link: address
                    .link
                    .filter(|link| linked && link.len() <= 2 * detail.field)
                    .map(|link| if detail.brief { link } else { with_subject(link, offer) }),
                domain: address
                    .ascii_domain
                    .filter(|_| !detail.terse)
                    .map(|domain| fill(&phrases.domain, &[("domain", &display::shorten(&domain, detail.field, 1).0)])),
            }),
            phone: phone
                .map(|text| PhoneView { text, link: phone_link(&customer.phone).filter(|_| linked && !detail.brief) }),
            action: cut.field(&words(&lead.action(), &self.phrases.action)),
            marketplace: cut.field(self.phrases.marketplaces.of(source.marketplace.name())),
            time: match stored.shown_time() {
                ShownTime::AsItCame(text) => cut.field(text),
                time => self.known_time(time) + &self.age(time),
            },
            note,
            tables,
            crm: crm.map(|search| search.link(customer.email.trim())),
            earlier_actions: (!history.is_empty()).then(|| self.earlier_actions(history, stored.time(), offer, detail)),
            same_request: stored.same_request.map(|time| self.same_request(lead, time)),
            row: cut.row(&stored.keys),
            shortened: cut.shortened,
        }
    }

    /// How many days ago a lead came, where that is a day or more. Those that are sent again on demand are all old.
    fn age(&self, time: ShownTime<'_>) -> String {
        let (ShownTime::Known(time), Occasion::New | Occasion::MaybeRepeated) = (time, &self.digest.occasion) else {
            return String::new();
        };
        let hours = match (plausible(time), self.digest.moment()) {
            (Some(time), Some((now, _))) => now.duration_since(time).as_hours(),
            _ => 0,
        };
        let days = usize::try_from(hours / 24).unwrap_or_default();
        if days == 0 {
            return String::new();
        }
        let age = self.settings.language.counted(&self.phrases.lead.age, days);
        fill(&self.phrases.brackets, &[("text", &age)])
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

/// First and last name. Between names in Han characters there is no space, and the family name comes first.
fn full_name(customer: &Customer) -> String {
    let is_han = |text: &str| {
        let is_han = |character| matches!(character, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}');
        !text.is_empty() && text.chars().all(is_han)
    };
    match [customer.first_name.trim(), customer.last_name.trim()] {
        [given, family] if is_han(given) && is_han(family) => format!("{family}{given}"),
        _ => customer.name(),
    }
}

/// A link to an address, with the offer as the subject of the mail.
fn with_subject(link: String, offer: &str) -> String {
    /// The longest offer, in bytes.
    const BYTES: usize = 60;
    let offer = display::shorten(offer, BYTES, 1).0;
    if offer.is_empty() { link } else { format!("{link}?subject={}", percent_encode(&offer)) }
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
